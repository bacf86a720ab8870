import { MatrixError } from "../http/errors.ts";
import { type JsonObject, optionalObject, optionalString } from "../http/json.ts";
import { letters } from "../rooms/ids.ts";

export type Stage = "m.login.password" | "m.login.dummy" | "m.login.registration_token";

/**
 * Checks one stage. What it answers with is why the stage was not passed, and may be tried again; what it
 * throws ends the request.
 */
export type StageCheck = (auth: JsonObject) => Promise<MatrixError | undefined> | MatrixError | undefined;

interface UiaSession {
  readonly purpose: string;
  readonly done: Set<Stage>;
  expires: number;
}

const LIFETIME_MS = 15 * 60 * 1000;
const MAX_SESSIONS = 1_000;

/** User-interactive authentication: the conversation that dangerous requests go through. */
export class UserInteractiveAuth {
  readonly #sessions = new Map<string, UiaSession>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Resolves when one of the flows was completed within this request or before, in the same session and
   * for the same purpose (who wants to do what); throws the 401 that says what is missing otherwise.
   */
  async require(
    purpose: string,
    body: JsonObject,
    flows: readonly (readonly Stage[])[],
    checks: Readonly<Partial<Record<Stage, StageCheck>>>,
  ): Promise<void> {
    const auth = optionalObject(body, "auth");
    if (auth === undefined) throw this.#challenge(this.#open(purpose), flows);
    const [id, session] = this.#resume(optionalString(auth, "session"), purpose);
    const type = optionalString(auth, "type");
    if (type !== undefined) {
      const stage = flows.flat().find((known) => known === type);
      if (stage === undefined) {
        throw this.#challenge(
          [id, session],
          flows,
          new MatrixError(401, "M_UNRECOGNIZED", `${type} is not a stage here`),
        );
      }
      const refusal = await checks[stage]?.(auth);
      if (refusal !== undefined) throw this.#challenge([id, session], flows, refusal);
      session.done.add(stage);
    }
    if (!flows.some((flow) => flow.every((stage) => session.done.has(stage)))) {
      throw this.#challenge([id, session], flows);
    }
    this.#sessions.delete(id);
  }

  #resume(id: string | undefined, purpose: string): [string, UiaSession] {
    if (id === undefined) return this.#open(purpose);
    const session = this.#sessions.get(id);
    if (session === undefined || session.expires < this.#now() || session.purpose !== purpose) {
      throw new MatrixError(400, "M_UNKNOWN", "that session of user-interactive authentication is not known");
    }
    return [id, session];
  }

  #open(purpose: string): [string, UiaSession] {
    const now = this.#now();
    for (const [id, session] of this.#sessions) {
      if (session.expires >= now && this.#sessions.size < MAX_SESSIONS) break;
      this.#sessions.delete(id);
    }
    const id = letters(24);
    const session = { purpose, done: new Set<Stage>(), expires: now + LIFETIME_MS };
    this.#sessions.set(id, session);
    return [id, session];
  }

  #challenge(
    [id, session]: [string, UiaSession],
    flows: readonly (readonly Stage[])[],
    error?: MatrixError,
  ): MatrixError {
    const body = {
      session: id,
      flows: flows.map((stages) => ({ stages })),
      params: {},
      ...(session.done.size > 0 || error !== undefined ? { completed: [...session.done] } : {}),
    };
    return new AuthenticationNeeded(body, error);
  }
}

/** The 401 of user-interactive authentication: what can be done, and what went wrong if something did. */
class AuthenticationNeeded extends MatrixError {
  readonly #body: JsonObject;

  constructor(body: JsonObject, cause: MatrixError | undefined) {
    super(401, cause?.errcode ?? "M_UNAUTHORIZED", cause?.message ?? "more authentication is needed");
    this.#body = cause === undefined ? body : { ...body, errcode: cause.errcode, error: cause.message };
  }

  override toJSON(): JsonObject {
    return this.#body;
  }
}
