// A backend behind `wsauth serve` that believes nobody but wsauth: `npm install ws jose`, `node backend.mjs`.
//
// Every handshake must bring a good assertion, so it makes no difference who else can reach the port. Who somebody is
// comes from the assertion alone, never from other headers.
import { createServer } from "node:http";
import { createRemoteJWKSet, jwtVerify } from "jose";
import { WebSocketServer } from "ws";

const env = process.env;
const WSAUTH = env.WSAUTH ?? "http://127.0.0.1:8080"; // where its keys are
const ISSUER = env.ISSUER ?? WSAUTH; // tokens.issuer, by default the server's public_url
const PORT = Number(env.PORT ?? 9000);
const AUDIENCE = env.AUDIENCE ?? `ws://127.0.0.1:${PORT}`; // `upstream`, exactly as wsauth.toml has it
const LEEWAY = 5; // seconds that the two clocks may differ

// Keys are kept for five minutes. An unknown one is looked for at most every 30 seconds, whoever makes one up.
const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", WSAUTH), {
  cacheMaxAge: 300_000,
  cooldownDuration: 30_000,
  timeoutDuration: 5_000,
});
const used = new Map(); // jti -> when it may be forgotten, in seconds

async function verified(assertion = "") {
  const { payload } = await jwtVerify(assertion, keys, {
    algorithms: ["EdDSA", "ES256"],
    audience: AUDIENCE,
    issuer: ISSUER,
    typ: "wsauth-assertion+jwt",
    requiredClaims: ["iat", "exp", "jti", "cid"],
    clockTolerance: LEEWAY,
  });
  for (const [id, until] of used) {
    if (until >= Date.now() / 1000) break;
    used.delete(id);
  }
  if (used.has(payload.jti)) throw new Error("it was used before");
  used.set(payload.jti, payload.exp + LEEWAY);
  return payload;
}

// Roles give patterns, in which * is one segment and ** any number.
function allows(claims, name) {
  return (claims.permissions ?? []).some((held) => matches(held.split(":"), name.split(":")));
}

function matches(pattern, name) {
  if (pattern.length === 0) return name.length === 0;
  const [first, ...others] = pattern;
  if (first === "**") return matches(others, name) || (name.length > 0 && matches(pattern, name.slice(1)));
  return name.length > 0 && (first === "*" || first === name[0]) && matches(others, name.slice(1));
}

const chat = new WebSocketServer({ noServer: true, maxPayload: 65536 });

chat.on("connection", (socket, claims) => {
  const name = claims.sub ?? "somebody";
  const speaks = allows(claims, "chat:lobby:send");
  socket.send(`hello ${name}, you may ${speaks ? "" : "not "}speak`);
  socket.on("error", () => {});
  socket.on("message", (message) => speaks && socket.send(`${name}: ${message}`));
});

const server = createServer((_request, response) => response.writeHead(404).end());

// The answer never says what was wrong.
server.on("upgrade", async (request, socket, head) => {
  socket.on("error", () => {});
  let claims;
  try {
    claims = await verified(request.headers["x-wsauth-assertion"]);
  } catch (why) {
    console.log(`refused: ${why.message}`);
    socket.end("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    return;
  }
  chat.handleUpgrade(request, socket, head, (opened) => chat.emit("connection", opened, claims));
});

server.listen(PORT, "127.0.0.1", () => console.log(`listening on ws://127.0.0.1:${PORT}`));
