/** Why a request did not go through, whichever way it went. */

/** A frame that the server refused. */
export class FrameRefused extends Error {
  constructor(frame) {
    super(frame.message || "The server refused the request.");
    this.code = frame.code || "error";
    this.resource = frame.resource;
    this.limit = frame.limit;
    this.resetsAt = frame.resets_at;
  }
}

/** The connection went, or no answer came, before it was known whether the request was taken. */
export class ConnectionLost extends Error {}

/** Nobody, or somebody else, is signed in: trying again is of no use. */
export class SignedOut extends Error {}
