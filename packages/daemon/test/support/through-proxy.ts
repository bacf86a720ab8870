import type { TestHomeserver } from "../../../../scripts/homeservers.ts";
import type { FaultProxy, ProxiedAnswer } from "./fault-proxy.ts";

/** The homeserver as it is reached by the proxy, which takes its place where it says who it is. */
export function throughProxy(homeserver: TestHomeserver, proxy: FaultProxy): TestHomeserver {
  const change = (answer: ProxiedAnswer) => ({
    ...answer,
    body: answer.body.replaceAll(homeserver.url, proxy.url),
  });
  proxy.on(({ path }) => (/\/login|\.well-known/.test(path) ? { kind: "rewrite", change } : undefined));
  return { ...homeserver, url: proxy.url, registerUser: homeserver.registerUser.bind(homeserver) };
}
