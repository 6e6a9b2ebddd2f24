/** What a screen reader says while a run goes on. */

import { humanName } from "./format.js";
import { announce } from "./notices.js";
import { waitingText } from "./waiting.js";

const WORDS = {
  run_queued: ({ record }) => (record.waitingFor === "turn" ? "" : `${waitingText(record)}.`),
  run_resumed: () => "Another worker goes on with the answer.",
  agent_thinking: ({ agent, data }) => `${humanName(agent)}: ${data.text}`,
  tool_executing: ({ agent, data }) => `${humanName(agent)} runs ${humanName(data.tool_name).toLowerCase()}.`,
  agent_completed: () => "The answer is ready.",
  run_failed: ({ data }) => `The run failed. ${data.message}`,
  run_cancelled: () => "Stopped.",
};

/** Have an event of a run's record announced, if it is one to hear of. */
export function sayProgress(record, { type, agent_name: agent, data }) {
  const words = WORDS[type]?.({ record, agent, data });
  if (words) announce(words);
}
