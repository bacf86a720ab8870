import type { DeviceInfo, Result, VerificationStage } from "@mx-agent/ipc";
import { pairs, table } from "./table.ts";

const HOW = {
  itself: "this device",
  cross_signing: "yes, by its owner's identity",
  this_machine: "yes, on this machine",
} as const;

export function renderDevices({ devices, requests }: Result<"device.list">, columns: number): string {
  const shown =
    devices.length === 0
      ? "no devices with encryption keys"
      : table(
          ["USER", "DEVICE", "NAME", "VERIFIED", "SIGNED", "FINGERPRINT"],
          devices.map((device) => [
            device.user_id,
            device.device_id,
            device.display_name ?? "",
            device.this_device ? "itself" : device.verified ? "yes" : "no",
            device.signed_by_owner ? "yes" : "no",
            device.fingerprint,
          ]),
          columns,
        );
  const asking = requests.map(
    ({ user_id, device_id }) =>
      `${user_id} (${device_id}) asks to verify this device: mx-agent device verify ${user_id} --accept`,
  );
  return [shown, ...asking].join("\n");
}

export function renderDevice(device: DeviceInfo): string {
  return pairs([
    ["device", `${device.device_id} of ${device.user_id}`],
    ["name", device.display_name],
    ["fingerprint", device.fingerprint],
    ["verified", device.verified_by === null ? "no" : HOW[device.verified_by]],
    ["signed by its owner", device.signed_by_owner ? "yes" : "no"],
  ]);
}

export function renderStage(stage: VerificationStage): string {
  switch (stage.type) {
    case "waiting":
      return "waiting for the other side to begin …";
    case "requested":
      return stage.device_id === null
        ? `waiting for ${stage.user_id} to accept …`
        : `waiting for ${stage.user_id} to accept on device ${stage.device_id} …`;
    case "accepted":
      return `verifying with ${stage.user_id}, device ${stage.device_id} …`;
    case "compare":
      return [
        `compare with ${stage.user_id}:`,
        stage.emoji.map(([symbol, name]) => `  ${symbol} ${name}`).join("\n"),
        `or the numbers: ${stage.decimal.join(" ")}`,
      ].join("\n");
    case "confirmed":
      return "waiting for the other side's yes …";
  }
}
