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
} from "json-rpc-2.0";
import { fieldsOf } from "./wire.ts";

export function isRequest(payload: unknown): payload is JSONRPCRequest {
  if (!isObject(payload) || !isJSONRPCRequest(payload)) return false;
  return typeof payload.method === "string" && (payload.id === undefined || isJSONRPCID(payload.id));
}

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
