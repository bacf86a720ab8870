import { OlmMachine } from "@matrix-org/matrix-sdk-crypto-wasm";
import { mxError } from "@mx-agent/base";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";

/** The machine below the SDK's encryption, for what that has no call for: counting keys, blacklisting a device. */
export function olmMachineOf(crypto: RustCrypto): OlmMachine {
  const machine: unknown = Reflect.get(crypto, "olmMachine");
  if (machine instanceof OlmMachine) return machine;
  throw mxError("MX_INTERNAL", { detail: "the SDK's encryption has no machine that we know" });
}
