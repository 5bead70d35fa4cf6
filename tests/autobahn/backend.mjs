// The conforming backend of the Autobahn runs: the npm package `ws`, which passes more cases than any other we tried.
// Sends every message back; without limits of its own, so that what fails is not its doing. Prints its port.
import { createRequire } from "node:module";

const { WebSocketServer } = createRequire(new URL("../node/package.json", import.meta.url))("ws");

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: 0,
  maxPayload: 0,
  maxFragments: 0,
  maxBufferedChunks: 0,
  perMessageDeflate: true,
});
server.on("connection", (socket) => {
  socket.on("message", (message, binary) => socket.send(message, { binary }));
  socket.on("error", () => {}); // what the suite provokes; the close code says it
});
server.on("listening", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit()).resume(); // ends with whoever started it
