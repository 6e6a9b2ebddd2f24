/** What a screen reader says while a run goes on. */

import { humanName } from "./format.js";
import { announce } from "./notices.js";

const WORDS = {
  agent_thinking: ({ agent, data }) => `${humanName(agent)}: ${data.text}`,
  tool_executing: ({ agent, data }) => `${humanName(agent)} runs ${humanName(data.tool_name).toLowerCase()}.`,
  agent_completed: () => "The answer is ready.",
  run_failed: ({ data }) => `The run failed. ${data.message}`,
  run_cancelled: () => "Stopped.",
};

/** Have a run event announced, if it is one to hear of. */
export function sayProgress({ type, agent_name: agent, data }) {
  const words = WORDS[type];
  if (words) announce(words({ agent, data }));
}
