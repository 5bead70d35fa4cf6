import { connect } from "/wsauth.js";

const $ = (id) => document.getElementById(id);
const SOCKET = `ws://${location.host}/ws`;
const LOW = 8; // seconds left from which the bar warns
const KEPT = 100; // lines of the log and of the chat

let login = null; // { subject, roles, renewal, over }: of this tab only, and gone with it
let token = null; // the newest access token, for the orders over HTTP
let socket = null;
let granted = 0; // when the lease began
let backAt = 0; // when a disconnected socket comes back
let asked = false; // "Renew now" was pressed

// Talking to the application over HTTP

async function post(path, body, headers = {}) {
  const response = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body ?? {}),
  });
  const answer = await response.json();
  return response.ok ? answer : Promise.reject(Object.assign(new Error(answer.detail), { status: response.status }));
}

async function freshToken() {
  try {
    token = (await post("/token", { renewal: login.renewal })).access_token;
    return token;
  } catch (error) {
    if (error.status !== 401) throw error;
    login.over = true;
    return null;
  }
}

// What connect() asks. While the switch is off nobody is logged in, so to speak, and the lease runs out.
async function getToken() {
  if (socket?.lease && !$("automatic").checked && !asked) return null;
  asked = false;
  return freshToken();
}

// Signing in and out

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("wrong").hidden = true;
  try {
    login = await post("/login", { username: $("username").value, password: $("password").value });
  } catch (error) {
    $("wrong").textContent = error.status ? "The name or the password is wrong." : "The demo does not answer.";
    $("wrong").hidden = false;
    return;
  }
  $("password").value = "";
  $("who").textContent = login.subject;
  $("automatic").checked = true;
  $("people-hint").textContent = may() ? "" : "Sign in as alice in a second tab to send bob away.";
  for (const id of ["events", "chat", "people"]) $(id).replaceChildren();
  showRefusal(null);
  show(true);
  open();
});

$("leave").addEventListener("click", () => {
  socket?.close(1000, "signed out");
  leave("");
});

function leave(why) {
  socket = login = token = null;
  $("wrong").textContent = why;
  $("wrong").hidden = !why;
  show(false);
  $(why ? "password" : "username").focus();
}

function show(inside) {
  $("welcome").hidden = inside;
  $("desk").hidden = $("session").hidden = !inside;
}

const may = () => login.roles.includes("admin");

// The socket

function open() {
  const mine = (socket = connect(SOCKET, { getToken }));
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
  on("refusal", refused);
  on("close", closed);
  on("message", (_, { data }) => receive(JSON.parse(data)));
}

function begin({ expiresAt, roles }) {
  granted = Date.now();
  $("lease-text").textContent =
    `${login.subject}, ${roles.join(", ")}. Ends at ${new Date(expiresAt).toLocaleTimeString()} unless a newer token renews it.`;
}

const seconds = ({ expiresAt }) => Math.round((expiresAt - Date.now()) / 1000);

function refused(refusal) {
  if (refusal.code === "credentials_missing") {
    if (!$("automatic").checked) note("", "A renewal is due, and renewing by itself is off.");
    return;
  }
  if (socket.state === "stale") $("lease-text").textContent = "The lease has ended: nothing passes until a newer token renews it.";
  showRefusal(refusal);
  note("bad", `Refused: ${refusal.message}`, refusal.code);
}

function closed({ code, reason, refusal, retryIn }) {
  if (login.over) return leave("You were revoked: your tokens are worthless. Sign in again.");
  note("bad", `Closed with ${code}`, reason.split(";")[0]);
  $("lease-text").textContent = "No lease, and so no connection.";
  $("people").replaceChildren();
  if (retryIn === null) return note("", "“Connect again” brings a fresh token.");
  backAt = Date.now() + retryIn;
  const wait = Math.max(1, Math.round(retryIn / 1000));
  note("", refusal?.action === "login" ? "Asking once for a fresh token." : `Coming back in ${wait} s.`);
}

$("renew").addEventListener("click", () => {
  if (socket.state === "closed") open();
  else renew();
});

$("automatic").addEventListener("change", () => {
  if ($("automatic").checked && socket.state === "stale") renew();
});

function renew() {
  asked = true;
  socket.renew();
}

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
  }
}

function person([subject, count]) {
  const line = $("person").content.cloneNode(true).firstElementChild;
  const find = (name) => line.querySelector(`.${name}`);
  const me = subject === login.subject;
  find("avatar").textContent = subject[0];
  find("name").textContent = subject;
  find("count").textContent = [me && "you", count > 1 && `${count} tabs`].filter(Boolean).join(", ");
  find("orders").hidden = me || !may();
  for (const order of ["disconnect", "revoke"]) find(order).addEventListener("click", () => give(order, subject));
  return line;
}

async function give(order, subject) {
  try {
    const bearer = { Authorization: `Bearer ${await freshToken()}` };
    const { closed } = await post(`/people/${encodeURIComponent(subject)}/${order}`, {}, bearer);
    const done = order === "revoke" ? "Revoked" : "Disconnected";
    note("good", `${done} ${subject}: ${closed} connection${closed === 1 ? "" : "s"} closed.`);
  } catch (error) {
    note("bad", `The application said no: ${error.message}`);
  }
}

$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!$("text").value || !socket.lease) return;
  socket.send(JSON.stringify({ text: $("text").value }));
  $("text").value = "";
});

// A bad token: the newest one, with bob or alice made into mallory and the signature left as it was

$("bad").addEventListener("click", async () => {
  const good = await freshToken();
  if (!good) return;
  const [head, body, signature] = good.split(".");
  const claims = JSON.parse(atob(body.replaceAll("-", "+").replaceAll("_", "/")));
  const forged = btoa(JSON.stringify({ ...claims, sub: "mallory" })).replace(/=+$/, "").replaceAll("+", "-").replaceAll("/", "_");
  const trial = connect(SOCKET, { getToken: () => [head, forged, signature].join(".") });
  trial.addEventListener("refusal", ({ detail }) => {
    trial.close();
    showRefusal(detail);
    note("bad", "A forged token for mallory was refused", detail.code);
  }, { once: true });
});

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
  $("renew").textContent = state === "closed" ? "Connect again" : "Renew now";
}

draw();
