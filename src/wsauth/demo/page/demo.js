import { connect } from "/wsauth.js";

const $ = (id) => document.getElementById(id);
const SOCKET = `ws://${location.host}/ws`;
const LOW = 8; // seconds left from which the bar warns
const KEPT = 100; // lines of the log and of the chat
const AGAIN = 3000; // milliseconds until a refresh that nobody answered is tried again
const SIGNED_IN = "signed in"; // in localStorage: a cookie is there, which scripts cannot see

let login = null; // what signing in answered: subject, csrf_token …; the session itself is in the cookie
let socket = null;
let granted = 0; // when the lease began
let backAt = 0; // when a disconnected socket comes back
let timer = 0; // for the next refresh

// Talking to the server over HTTP: the cookie says who, the CSRF token that it was this page

async function ask(method, path, body) {
  const headers = login ? { "X-CSRF-Token": login.csrf_token } : {};
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const answer = response.status === 204 ? null : await response.json();
  return response.ok ? answer : Promise.reject(Object.assign(new Error(answer.detail), answer));
}

// Signing in and out

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("wrong").hidden = true;
  try {
    enter(await ask("POST", "/auth/login", { username: $("username").value, password: $("password").value, cookie: true }));
  } catch (error) {
    const wrong = error.status === 401 ? "The name or the password is wrong." : error.message;
    $("wrong").textContent = error.status ? wrong : "The demo does not answer.";
    $("wrong").hidden = false;
  }
});

function enter(answer) {
  login = answer;
  localStorage.setItem(SIGNED_IN, "yes");
  $("password").value = "";
  $("who").textContent = login.subject;
  $("automatic").checked = true;
  for (const id of ["events", "chat", "people", "sessions"]) $(id).replaceChildren();
  showRefusal(null);
  show(true);
  open();
}

$("leave").addEventListener("click", async () => {
  const before = socket;
  socket = null; // it shall not tell that its session has ended
  before.close(1000, "signed out");
  await ask("POST", "/auth/logout").catch(() => {}); // it has ended already
  leave("");
});

function leave(why) {
  const before = socket;
  socket = login = null;
  before?.close();
  clearTimeout(timer);
  localStorage.removeItem(SIGNED_IN);
  $("wrong").textContent = why;
  $("wrong").hidden = !why;
  show(false);
  $(why ? "password" : "username").focus();
}

function show(inside) {
  $("welcome").hidden = inside;
  $("desk").hidden = $("session").hidden = !inside;
}

// The socket: the cookie lets it in, so there is no getToken

function open() {
  const mine = (socket = connect(SOCKET));
  const on = (type, listener) => mine.addEventListener(type, (event) => mine === socket && listener(event.detail, event));
  on("open", (lease) => {
    begin(lease);
    note("good", `Connected as ${lease.subject}. The lease lasts ${seconds(lease)} s.`);
  });
  on("renewed", (lease) => {
    begin(lease);
    $("lease").classList.remove("renewed");
    void $("lease").offsetWidth; // begins the animation anew
    $("lease").classList.add("renewed");
    note("good", `Renewed on the open socket: another ${seconds(lease)} s.`);
  });
  on("changed", (lease) => {
    describe(lease);
    note("", `Your rights have changed: as ${lease.roles.join(", ")} you may ${lease.permissions.join(", ")}.`);
  });
  on("refusal", refused);
  on("close", closed);
  on("message", (_, { data }) => receive(JSON.parse(data)));
}

function begin(lease) {
  granted = Date.now();
  clearTimeout(timer);
  timer = setTimeout(due, (lease.expiresAt - granted) * (0.6 + 0.25 * Math.random()));
  describe(lease);
}

function describe({ subject, roles, permissions, expiresAt }) {
  $("lease-text").textContent =
    `${subject}, ${roles.join(", ")}. Ends at ${new Date(expiresAt).toLocaleTimeString()} unless the session is refreshed.`;
  const reads = permissions.includes("chat:read") && !permissions.includes("chat:send");
  $("text").placeholder = reads ? "You may only read. Try to say something" : "Say something to every tab";
  $("people-hint").textContent = orders() ? "" : "Sign in as alice elsewhere to send people away.";
}

const seconds = ({ expiresAt }) => Math.round((expiresAt - Date.now()) / 1000);
const orders = () => socket.lease?.roles.includes("admin");

function refused(refusal) {
  if (socket.state === "stale") {
    $("lease-text").textContent = "The lease has ended: nothing passes until the session is refreshed.";
    if ($("automatic").checked) refresh(); // a page in the background is late with its timers
  }
  showRefusal(refusal);
  note("bad", `Refused: ${refusal.message}`, refusal.code);
}

function closed({ code, reason, refusal, retryIn }) {
  const [name] = reason.split(";");
  clearTimeout(timer);
  if (refusal?.action === "login") return leave(`Your session has ended (${refusal.code}). Sign in again.`);
  note("bad", `Closed with ${code}`, name);
  $("lease-text").textContent = "No lease, and so no connection.";
  $("people").replaceChildren();
  if (retryIn === null) return note("", "“Connect again” opens a new socket: the session lives on.");
  backAt = Date.now() + retryIn;
  note("", `Coming back in ${Math.max(1, Math.round(retryIn / 1000))} s.`);
}

// The lease follows the session: shortly before it would end it is extended, if the session was refreshed

function due() {
  if ($("automatic").checked) refresh();
  else note("", "A refresh is due, and refreshing by itself is off.");
}

async function refresh() {
  try {
    await ask("POST", "/auth/refresh");
    note("", "Refreshed the session over HTTP; the lease follows before it ends.");
  } catch (error) {
    note("bad", `The session was not refreshed: ${error.message}`, error.code);
    if (!error.status && socket?.lease) timer = setTimeout(due, AGAIN);
  }
}

$("renew").addEventListener("click", () => {
  if (socket.state === "closed") open();
  else refresh();
});

$("automatic").addEventListener("change", () => {
  if ($("automatic").checked && socket.lease) refresh();
});

// My sessions

async function listSessions() {
  const { items } = await ask("GET", "/auth/sessions");
  $("sessions").replaceChildren(...items.map(sessionLine));
  $("end-others").hidden = items.length < 2;
}

function sessionLine({ current, created_at, connections: { length } }) {
  const line = $("session-line").content.cloneNode(true).firstElementChild;
  line.querySelector(".name").textContent = current ? "This one" : "Another one";
  line.querySelector(".count").textContent =
    `since ${new Date(created_at * 1000).toLocaleTimeString()}, ${length} socket${length === 1 ? "" : "s"}`;
  return line;
}

$("end-others").addEventListener("click", () => attempt(async () => {
  const { items } = await ask("GET", "/auth/sessions");
  const others = items.filter(({ current }) => !current);
  await Promise.all(others.map(({ session_id }) => ask("DELETE", `/auth/sessions/${session_id}`)));
  note("good", `Ended ${others.length} other session${others.length === 1 ? "" : "s"}, and closed what they had open.`);
  await listSessions();
}));

// What the application says

function receive(message) {
  if (message.type === "chat") {
    const line = document.createElement("li");
    const name = document.createElement("b");
    name.textContent = message.from;
    line.append(name, message.text);
    line.classList.toggle("mine", message.from === login.subject);
    add($("chat"), line, false);
  } else if (message.type === "people") {
    $("people").replaceChildren(...Object.entries(message.people).map(person));
    listSessions().catch(() => {}); // who came or went may be another tab of mine; the next time will tell
  }
}

function person([subject, { tabs, roles }]) {
  const line = $("person").content.cloneNode(true).firstElementChild;
  const find = (name) => line.querySelector(`.${name}`);
  const me = subject === login.subject;
  const role = roles.includes("reader") ? "member" : "reader";
  find("avatar").textContent = subject[0];
  find("name").textContent = subject;
  find("count").textContent = [...roles, me && "you", tabs > 1 && `${tabs} tabs`].filter(Boolean).join(", ");
  find("orders").hidden = me || !orders();
  find("role").textContent = `Make ${role}`;
  const on = (order, path, give) => find(order).addEventListener("click", () => attempt(() => give(`/people/${encodeURIComponent(subject)}/${path}`)));
  on("disconnect", "disconnect", async (path) => done("Disconnected", subject, await ask("POST", path)));
  on("revoke", "revoke", async (path) => done("Revoked", subject, await ask("POST", path)));
  on("role", "role", async (path) => {
    await ask("PUT", path, { role });
    note("good", `Made ${subject} a ${role}.`);
  });
  return line;
}

const done = (what, subject, { closed }) =>
  note("good", `${what} ${subject}: ${closed} connection${closed === 1 ? "" : "s"} closed.`);

async function attempt(order) {
  try {
    await order();
  } catch (error) {
    note("bad", `The server said no: ${error.message}`, error.code);
  }
}

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!$("text").value || !socket.lease) return;
  socket.send(JSON.stringify({ text: $("text").value }));
  $("text").value = "";
});

// A bad token: an access token for mallory with a signature out of thin air. It goes before the cookie, which is ignored

$("bad").addEventListener("click", () => {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: location.origin, aud: "wsauth", sub: "mallory", roles: ["admin"], iat: now, exp: now + 300 };
  const signature = String.fromCharCode(...crypto.getRandomValues(new Uint8Array(64)));
  const parts = [JSON.stringify({ alg: "EdDSA", typ: "at+jwt" }), JSON.stringify(claims), signature].map(base64url);
  const trial = connect(SOCKET, { protocols: [`wsauth.bearer.${parts.join(".")}`] });
  trial.addEventListener("refusal", ({ detail }) => {
    trial.close();
    showRefusal(detail);
    note("bad", "A forged token for mallory was refused", detail.code);
  }, { once: true });
});

const base64url = (text) => btoa(text).replace(/=+$/, "").replaceAll("+", "-").replaceAll("/", "_");

function showRefusal(refusal) {
  $("refusal").hidden = !refusal;
  $("no-refusal").textContent = refusal
    ? "The terminal says more about this id:"
    : "A no always has a code, an id for the log, and says what the client should do.";
  if (!refusal) return;
  $("refusal-code").textContent = refusal.code;
  $("refusal-reason").textContent = refusal.message;
  $("refusal-action").textContent = refusal.action + (refusal.retryAfter ? ` after ${refusal.retryAfter} s` : "");
  $("refusal-id").textContent = refusal.id;
}

// The log, the bar

function note(kind, text, code) {
  const line = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  const words = document.createElement("span");
  words.textContent = text;
  line.className = kind;
  line.append(time, words);
  if (code) line.append(Object.assign(document.createElement("code"), { textContent: code }));
  add($("events"), line, true);
}

function add(list, line, first) {
  list[first ? "prepend" : "append"](line);
  if (list.childElementCount > KEPT) list[first ? "lastElementChild" : "firstElementChild"].remove();
  if (!first) list.scrollTop = list.scrollHeight;
}

function draw() {
  requestAnimationFrame(draw);
  if (!socket) return;
  const { state, lease } = socket;
  const left = lease ? Math.max(0, lease.expiresAt - Date.now()) : 0;
  $("state").textContent = state === "waiting" ? `back in ${Math.max(0, Math.ceil((backAt - Date.now()) / 1000))} s` : state;
  $("state").className = `pill ${state}`;
  $("seconds").textContent = lease ? Math.ceil(left / 1000) : "–";
  $("bar").style.transform = `scaleX(${lease ? left / (lease.expiresAt - granted) : 0})`;
  $("lease").classList.toggle("low", state === "open" && left < LOW * 1000);
  $("lease").classList.toggle("stale", state === "stale");
  $("lease").classList.toggle("over", !lease);
  $("renew").textContent = state === "closed" ? "Connect again" : "Refresh now";
}

// A page that is loaded anew is still signed in: its cookie came along

async function resume() {
  try {
    enter(await ask("GET", "/auth/me"));
  } catch {
    leave("");
  }
}

$("elsewhere").href = $("elsewhere").textContent =
  `${location.protocol}//${location.hostname === "localhost" ? "127.0.0.1" : "localhost"}:${location.port}`;
if (localStorage.getItem(SIGNED_IN)) resume();
draw();
