// A chat that trusts every message: node backend.mjs PORT. It listens on loopback, behind the gateway.
import { WebSocketServer } from "ws";

const server = new WebSocketServer({ host: "127.0.0.1", port: Number(process.argv[2] ?? 9000) });
const rooms = new Map();
let count = 0;

server.on("connection", (socket) => {
  socket.on("message", (data) => {
    const message = JSON.parse(data);
    if (!rooms.has(message.room)) rooms.set(message.room, new Set());
    const room = rooms.get(message.room);
    if (message.type === "join") room.add(socket);
    if (message.type === "say") message.message = ++count;
    for (const member of room) member.send(JSON.stringify(message));
  });
  socket.on("close", () => rooms.forEach((room) => room.delete(socket)));
});

server.on("listening", () => console.log("listening"));
