// A chat with the npm package `ws`: rooms are paths, orders are those of tests/end_to_end/backends/websockets_chat.py.
// Nothing in it knows of wsauth. Listens on the unix socket that it is told.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const rooms = new Map();
const server = createServer();
const chat = new WebSocketServer({
  server,
  handleProtocols: (offered) => ["chat.v2", "chat.v1"].find((name) => offered.has(name)) ?? false,
});

function pairs(raw) {
  return raw.flatMap((each, at) => (at % 2 ? [] : [[each, raw[at + 1]]]));
}

const orders = {
  say: (_socket, room, text) => room.forEach((member) => member.send(text)),
  head: (socket, _room, _rest, request) =>
    socket.send(JSON.stringify({ target: request.url, headers: pairs(request.rawHeaders) })),
  long: (socket, _room, size) => {
    for (let left = Number(size); left > 0; left -= 1000) socket.send("x".repeat(1000), { fin: left <= 1000 });
  },
  ping: (socket) => {
    socket.once("pong", () => socket.send("pong"));
    socket.ping();
  },
  close: (socket, _room, rest) => {
    const [code, ...reason] = rest.split(" ");
    socket.close(Number(code), reason.join(" "));
  },
};

chat.on("connection", (socket, request) => {
  const path = request.url.split("?")[0];
  const room = rooms.get(path) ?? rooms.set(path, new Set()).get(path);
  room.add(socket);
  socket.on("message", (message, isBinary) => {
    const [, name, rest] = (!isBinary && /^\/(\w+) ?(.*)$/su.exec(message.toString())) || [];
    if (name) orders[name](socket, room, rest, request);
    else socket.send(message, { binary: isBinary });
  });
  socket.on("close", (code, reason) => {
    room.delete(socket);
    room.forEach((member) => member.send(`left ${code} ${reason}`.trimEnd()));
  });
});

server.listen(process.argv[2], () => console.log(`listening on ${server.address()}`));
