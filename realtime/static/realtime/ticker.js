/** One clock for everything on the page that shows how long it has been running. */

const EVERY_MS = 100;
const shown = new Map();
let timer = null;

function tick() {
  for (const [node, update] of shown) {
    if (node.isConnected) update();
    else shown.delete(node);
  }
  if (!shown.size) {
    clearInterval(timer);
    timer = null;
  }
}

/** Call `update` ten times a second while `node` is on the page, until `stopTicking(node)`. */
export function keepTicking(node, update) {
  shown.set(node, update);
  update();
  timer ??= setInterval(tick, EVERY_MS);
}

export function stopTicking(node) {
  shown.delete(node);
}
