import { mxError } from "@mx-agent/base";

/** The address of a homeserver as others are to be told it: http or https, without a secret, without a slash at its end. */
export function parseAddress(text: string, flag: string): string {
  const wrong = (what: string) => mxError("MX_USAGE", { detail: `${flag} ${text}: ${what}`, command: "" });
  if (!URL.canParse(text)) throw wrong("it is not a URL; write https://matrix.example.org");
  const { protocol, username, password, search, hash } = new URL(text);
  if (protocol !== "https:" && protocol !== "http:") throw wrong("it is neither https nor http");
  if (username !== "" || password !== "")
    throw mxError("MX_USAGE", { detail: `${flag}: the URL contains a password`, command: "" });
  if (search !== "" || hash !== "") throw wrong("it has more than the address");
  return text.replace(/\/+$/, "");
}
