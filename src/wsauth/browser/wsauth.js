/* A WebSocket that logs in, renews its lease, and comes back. Tokens are kept nowhere.

const socket = connect(url, { getToken, protocols: ["chat.v2"], binaryType: "arraybuffer" });
  getToken({ fresh }) → a token, { ticket } or { username, password }; null: nobody is logged in.
  fresh: the last one is old or was refused. Where a cookie logs in, leave getToken out.
ready: promises the first lease   lease: { issuer, subject, sessionId, roles, permissions, expiresAt (ms) } or null
state: connecting → open ⇄ stale (only a renewal saves it) → waiting (to reconnect) → closed
send(data), close(code, reason)   renew(): a fresh token now, reconnecting if need be
Events: message, the application's alone; in `detail`: open, renewed, changed: the lease; refusal: a Refusal;
  close: { code, reason, refusal, retryIn (ms; null: for good) }, after every try */

// The wire (PROTOCOL.md)
const SUBPROTOCOL = "wsauth.v1";
const VERSION = 1;
// Where only a close tells, by its reason or number; else retry
const ACTIONS = {
  token_expired: "refresh", ticket_invalid: "retry", credentials_ambiguous: "stop", credentials_in_query: "stop",
  1000: "stop", 1002: "stop", 1003: "stop", 1008: "stop", 3000: "login", 3003: "stop",
};

// Milliseconds
const FIRST = 500; // the backoff is random below this, doubled with each failure
const CEILING = 30_000;
const STABLE = 10_000; // open for so long is no failure
const LONGEST = 2 ** 31 - 1; // of setTimeout

/** { code, action, id, error, closing, retryAfter (seconds), attemptsLeft, index } */
export class Refusal extends Error {
  constructor({ code, action, id, error, detail, closing = false, retry_after, attempts_left, message }) {
    super(error ?? detail ?? code);
    this.error = this.message;
    Object.assign(this, { code, action, id, closing, attemptsLeft: attempts_left, index: message });
    this.retryAfter = retry_after && Number(retry_after);
  }
}

class Connection extends EventTarget {
  state = "connecting";
  lease = null;
  #url; #options; #settle;
  #socket;
  #timer; // to renew, or without a socket to reconnect
  #question; // getToken is under way; older answers are dropped
  #token; // for the next auth_required
  #sent = false; // an auth awaits its answer
  #fresh = false; // a fresh token is due, or was tried since the last success
  #last; // the auth_error before a close
  #failures = 0;
  #since = Infinity;

  constructor(url, options) {
    super();
    this.#url = url;
    this.#options = options;
    this.ready = new Promise((...settle) => { this.#settle = settle; });
    this.ready.catch(() => {}); // unheard
    this.#connect();
  }

  send(data) {
    if (!this.lease) throw new Error(`The socket is ${this.state}`);
    this.#socket.send(data);
  }

  close(code = 1000, reason = "") {
    this.#socket?.close(code, reason);
    this.#end({ code, reason });
  }

  renew() {
    if (this.lease) return void this.#ask(true);
    if (this.#socket) return;
    this.state = "waiting";
    this.#fresh = true;
    this.#after(0, () => this.#connect());
  }

  #connect() {
    if (this.#fresh && this.#options.getToken && !this.#token) return this.#ask(true);
    this.state = "connecting";
    this.#socket = new WebSocket(this.#url, [SUBPROTOCOL, ...(this.#options.protocols ?? [])]);
    this.#socket.binaryType = this.#options.binaryType ?? "blob";
    this.#socket.onmessage = (event) => this.#receive(event);
    this.#socket.onclose = (event) => this.#closed(event);
  }

  #receive(event) {
    const message = control(event.data);
    if (!message) this.dispatchEvent(new MessageEvent("message", event));
    else if (message.type === "auth_required") this.#ask(this.#fresh);
    else if (message.type === "auth_success") this.#granted(message);
    else if (message.closing) this.#last = message;
    else if (message.type === "auth_error") this.#refused(message);
    else if (message.type === "auth_refused") this.#emit("refusal", new Refusal(message));
    else if (message.type === "auth_expiring") this.#ask(true);
    else if (message.type === "auth_changed") {
      this.lease = { ...this.lease, roles: message.roles, permissions: message.permissions };
      this.#emit("changed", this.lease);
    }
  }

  async #ask(fresh) {
    const { getToken } = this.#options;
    if (this.#question || this.#sent || (this.lease && !getToken)) return;
    const question = (this.#question = {});
    let found, failed;
    try {
      found = this.#token ?? (await getToken?.({ fresh }));
    } catch {
      failed = true;
    }
    if (this.#question !== question) return;
    this.#question = null;
    if (failed) {
      if (this.lease) this.#after(this.#backoff(), () => this.#ask(true));
      else this.#end({ action: "retry" });
    } else if (!found) {
      this.#fresh = true;
      this.#refused({ code: "credentials_missing", action: "login" });
    } else if (this.#socket) {
      this.#token = null;
      this.#sent = true;
      this.#socket.send(JSON.stringify({ type: "auth", ...(typeof found === "string" ? { token: found } : found) }));
    } else {
      this.#token = found;
      this.#connect();
    }
  }

  #granted({ issuer, subject, session_id: sessionId, roles, permissions, expires_in, renew_in }) {
    const first = !this.lease;
    const expiresAt = expires_in && Date.now() + expires_in * 1000;
    this.lease = { issuer, subject, sessionId, roles, permissions, expiresAt };
    this.state = "open";
    this.#token = null;
    this.#sent = this.#fresh = false;
    if (first) this.#since = performance.now();
    else this.#failures = 0;
    this.#after(renew_in * 1000, () => this.#ask(true));
    this.#settle[0](this.lease);
    this.#emit(first ? "open" : "renewed", this.lease);
  }

  #refused(message) {
    if (this.lease && !this.#sent && message.code === "token_expired") this.state = "stale";
    this.#sent = false;
    const refusal = new Refusal(message);
    this.#emit("refusal", refusal);
    if (this.#question || this.state === "closed") return;
    if (refusal.action === "retry") {
      this.#after(this.#backoff(refusal), () => this.#ask(true));
    } else if (renewable(refusal.action) && !this.#fresh) {
      this.#fresh = true;
      this.#ask(true);
    } else if (!this.lease) this.#end({ refusal });
  }

  #closed({ code, reason }) {
    const [name, ...members] = reason.split(";");
    const { id, retry_after } = Object.fromEntries(members.map((member) => member.split("=")));
    const known = ACTIONS[name] ?? (retry_after ? "retry" : ACTIONS[code]);
    const action = known ?? (code < 4000 ? "retry" : "stop");
    const said = { code: name, action, id, closing: true, retry_after, ...this.#last };
    const refusal = said.id || said.retry_after ? new Refusal(said) : null;
    if (refusal) this.#emit("refusal", refusal);
    this.#end({ code, reason, refusal, action: said.action });
  }

  // Drops the socket and all that is under way.
  #end({ code = 1000, reason = "", refusal, action = "stop" }) {
    if (this.state === "closed") return;
    if (this.#socket) this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket?.close(1000);
    this.#socket = this.#question = this.#token = this.#last = this.lease = null;
    this.#sent = false;
    if (performance.now() - this.#since >= STABLE) this.#failures = 0;
    this.#since = Infinity;
    let retryIn = null;
    if (action === "retry" || (renewable(action) && !this.#fresh)) {
      retryIn = this.#backoff(refusal);
      this.state = "waiting";
      this.#fresh ||= action !== "retry";
    } else {
      this.state = "closed";
      this.#settle[1](refusal ?? new Error(`Closed: ${code}`));
    }
    this.#after(retryIn ?? NaN, () => this.#connect());
    this.#emit("close", { code, reason, refusal, retryIn });
  }

  #after(milliseconds, next) {
    clearTimeout(this.#timer);
    if (milliseconds >= 0) this.#timer = setTimeout(next, Math.min(milliseconds, LONGEST));
  }

  #backoff(refusal) {
    const jitter = Math.random() * Math.min(CEILING, FIRST * 2 ** this.#failures++);
    return Math.max(0, refusal?.retryAfter || 0) * 1000 + jitter;
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

export const connect = (url, options = {}) => new Connection(url, options);

const renewable = (action) => /login|refresh/.test(action);

function control(data) {
  if (typeof data !== "string" || !data.includes('"wsauth"')) return;
  try {
    const message = JSON.parse(data);
    if (message?.wsauth === VERSION && /^auth(_|$)/.test(message.type)) return message;
  } catch {} // the application's
}
