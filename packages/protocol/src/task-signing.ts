/** What a task's creator signs, and what its assignee verifies: PROTOCOL "State events", the last paragraphs. */
import { canonicalBytes } from "./canonical-json.ts";
import { type Binding, type SignatureVerdict, signBytes, verifyBytes } from "./signing.ts";
import type { SigningKey } from "./signing-key.ts";
import type { TaskAction, TaskAuthorization } from "./v1/contents.ts";
import type { Signature } from "./v1/fields.ts";

/** The part of a task that its creator answers for. */
export interface SignedTask {
  task_id: string;
  action?: TaskAction;
  depends_on: string[];
}

export interface TaskOrigin {
  binding: Binding;
  signature: Signature;
}

/**
 * The action with its authorization, signed by `key`: over the canonical JSON of `{task_id, action
 * without authorization, authorization without signature}`.
 */
export function authorizeAction(
  task_id: string,
  action: TaskAction,
  authorization: Omit<TaskAuthorization, "signature">,
  key: SigningKey,
): TaskAction {
  const signature = signBytes(authorizationBytes(task_id, action, authorization), key);
  return { ...action, authorization: { ...authorization, signature } };
}

export function verifyAuthorization(task: SignedTask, publicKey: Uint8Array): SignatureVerdict {
  const authorization = task.action?.authorization;
  if (task.action === undefined || authorization === undefined) return "unsigned";
  const { signature, ...rest } = authorization;
  const bytes = authorizationBytes(task.task_id, task.action, rest);
  return verifyBytes(bytes, signature, publicKey) ? "ok" : "invalid_signature";
}

/**
 * The origin of a task: over the canonical JSON of `{task_id, action, authorization, depends_on,
 * binding}`, where `action` is without its authorization and `authorization` has its signature. A task
 * without an action has neither of the two.
 */
export function signOrigin(task: SignedTask, key: SigningKey, binding: Binding): TaskOrigin {
  return { binding, signature: signBytes(originBytes(task, binding), key) };
}

/** Compare `origin.binding` with where the task was first written by `verifyBinding(origin, …)`. */
export function verifyOrigin(
  task: SignedTask & { origin?: TaskOrigin },
  publicKey: Uint8Array,
): SignatureVerdict {
  if (task.origin === undefined) return "unsigned";
  const { binding, signature } = task.origin;
  return verifyBytes(originBytes(task, binding), signature, publicKey) ? "ok" : "invalid_signature";
}

function authorizationBytes(
  task_id: string,
  action: TaskAction,
  authorization: Omit<TaskAuthorization, "signature">,
): Buffer {
  return canonicalBytes({ task_id, action: withoutAuthorization(action), authorization });
}

function originBytes(task: SignedTask, binding: Binding): Buffer {
  const { task_id, action, depends_on } = task;
  return canonicalBytes({
    task_id,
    depends_on,
    binding,
    ...(action === undefined ? {} : { action: withoutAuthorization(action) }),
    ...(action?.authorization === undefined ? {} : { authorization: action.authorization }),
  });
}

function withoutAuthorization(action: TaskAction): object {
  const { authorization: _, ...rest } = action;
  return rest;
}
