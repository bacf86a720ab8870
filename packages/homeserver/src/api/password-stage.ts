import { verifyPassword } from "../accounts/password.ts";
import type { StageCheck } from "../accounts/uia.ts";
import type { App } from "../app.ts";
import { forbidden } from "../http/errors.ts";
import { optionalObject, optionalString, string } from "../http/json.ts";

/** The stage m.login.password for a user who is signed in already: it must be their own password. */
export function passwordCheck(app: App, userId: string): StageCheck {
  return async (auth) => {
    app.limiter.take("login", userId);
    const identifier = optionalObject(auth, "identifier");
    const name = optionalString(identifier ?? auth, "user");
    const localpart = userId.slice(1, userId.indexOf(":"));
    if (name !== undefined && name !== userId && name !== localpart) throw forbidden("that is another user");
    const user = app.store.accounts.user(userId);
    if (!(await verifyPassword(string(auth, "password"), user?.password_hash))) {
      return forbidden("wrong password");
    }
    return undefined;
  };
}
