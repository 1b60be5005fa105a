/**
 * The stream as an AsyncAPI 3.0 document: one channel, what clients send, what the server sends.
 */
import { COMMANDS, CONTROLS, EVENTS, type Schema } from "./asyncapi-messages.ts";

/** The document as plain JSON. */
export function asyncApi(version: string): Schema {
  const names = (messages: Readonly<Record<string, Schema>>) => Object.keys(messages).map((name) => ({ $ref: `#/channels/stream/messages/${name}` }));
  const messages: Readonly<Record<string, Schema>> = { ...COMMANDS, ...CONTROLS, data: DATA };
  return {
    asyncapi: "3.0.0",
    info: {
      title: "ticker-service stream", version,
      description: "Market data over WebSocket. The server greets with `welcome`; the first client frame is `auth`. Control frames are JSON objects, data frames are JSON arrays of events: the first byte tells them apart. With `encoding` `msgpack` both are MessagePack with the same members, in binary frames. A key is never sent in the URL; browsers get a ticket from `POST /v1/stream-tickets`.",
    },
    defaultContentType: "application/json",
    servers: { stream: { host: "127.0.0.1:8081", protocol: "ws", description: "The default; HOST and STREAM_PORT say otherwise." } },
    channels: {
      stream: {
        address: "/v1/stream", description: "`?compression=deflate` negotiates compression, which costs several times the processor time.",
        messages: Object.fromEntries(Object.keys(messages).map((name) => [name, { $ref: `#/components/messages/${name}` }])),
        bindings: { ws: { query: { type: "object", properties: { compression: { const: "deflate" } } } } },
      },
    },
    operations: {
      command: { action: "receive", channel: { $ref: "#/channels/stream" }, summary: "What a client sends", messages: names(COMMANDS) },
      control: { action: "send", channel: { $ref: "#/channels/stream" }, summary: "Answers, heartbeats, errors, goodbyes", messages: names(CONTROLS) },
      events: { action: "send", channel: { $ref: "#/channels/stream" }, summary: "Market data, complete values in order", messages: names({ data: DATA }) },
    },
    components: {
      messages: Object.fromEntries(Object.entries(messages).map(([name, payload]) => [name, { name, payload }])),
      schemas: EVENTS,
    },
  };
}

const DATA: Schema = {
  type: "array", minItems: 1, description: "Each event is a complete value; those of one topic are in order.",
  items: { oneOf: Object.keys(EVENTS).map((name) => ({ $ref: `#/components/schemas/${name}` })) },
};
