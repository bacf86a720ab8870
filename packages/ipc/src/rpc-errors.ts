/** Errors of the catalogue as JSON-RPC errors and back; `data` carries the whole of it. */
import { errorFromJson, MxError, mxError, toMxError } from "@mx-agent/base";
import {
  createJSONRPCErrorResponse,
  JSONRPCErrorCode,
  type JSONRPCErrorResponse,
} from "json-rpc-2.0/dist/models.js";
import type { CallId } from "./wire.ts";

export function errorResponse(id: CallId | null, thrown: unknown): JSONRPCErrorResponse {
  const error = toMxError(thrown);
  return createJSONRPCErrorResponse(id, error.rpcCode, error.message, error.toJSON());
}

/** Parameters that a handler's parser refused. */
export function badParams(method: string, thrown: unknown): MxError {
  if (thrown instanceof MxError) return thrown;
  const detail = thrown instanceof Error ? thrown.message : String(thrown);
  return mxError("MX_USAGE", { detail: `${method}: ${detail}`, command: "" }, { cause: thrown });
}

/** What a client makes of the error in a response. */
export function errorOfResponse(method: string, error: JSONRPCErrorResponse["error"]): MxError {
  const ours = errorFromJson(error.data);
  if (ours) return ours;
  if (error.code === JSONRPCErrorCode.MethodNotFound)
    return mxError("MX_PROTOCOL", {
      detail: `the daemon does not know ${method}`,
      hint: "it may be older than this mx-agent: `mx-agent daemon restart`",
    });
  return mxError("MX_PROTOCOL", { detail: `${method}: ${error.message} (${error.code})`, hint: "" });
}
