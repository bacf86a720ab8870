/** What a parsed frame is. The guards of json-rpc-2.0 take objects alone, and a stranger may send null. */
import {
  createJSONRPCErrorResponse,
  isJSONRPCID,
  isJSONRPCRequest,
  isJSONRPCResponse,
  JSONRPCErrorCode,
  type JSONRPCErrorResponse,
  type JSONRPCRequest,
  type JSONRPCResponse,
} from "json-rpc-2.0/dist/models.js";
import { ACK, CANCEL, END, fieldsOf, ITEM, isCallId } from "./wire.ts";

/** JSON-RPC 2.0, section 4. An id of null would be answered as if it had none, so it is none. */
export function isRequest(payload: unknown): payload is JSONRPCRequest {
  if (!isObject(payload) || !isJSONRPCRequest(payload)) return false;
  const { method, id, params }: { method: unknown; id?: unknown; params?: unknown } = payload;
  if (typeof method !== "string" || (params !== undefined && !isObject(params))) return false;
  // What belongs to a call names it in its parameters and has no answer.
  return id === undefined || (isCallId(id) && !NOTES.has(method));
}

const NOTES = new Set<string>([ITEM, ACK, END, CANCEL]);

export function isResponse(payload: unknown): payload is JSONRPCResponse {
  return isObject(payload) && isJSONRPCResponse(payload);
}

export function invalidRequest(payload: unknown): JSONRPCErrorResponse {
  const { id } = fieldsOf(payload);
  const known = isJSONRPCID(id) ? id : null;
  return createJSONRPCErrorResponse(known, JSONRPCErrorCode.InvalidRequest, "Invalid Request");
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
