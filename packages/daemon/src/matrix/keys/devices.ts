import { mxError } from "@mx-agent/base";
import type { DeviceInfo } from "@mx-agent/ipc";
import type { Device } from "matrix-js-sdk/lib/models/device.js";
import type { RustCrypto } from "matrix-js-sdk/lib/rust-crypto/rust-crypto.js";
import type { Account } from "../api.ts";
import { toHomeserverError } from "../homeserver-error.ts";
import { inFours, sameKey } from "./fingerprint.ts";

export interface DevicesOptions {
  crypto: RustCrypto;
  account: Account;
  ready: () => Promise<void>;
}

/** Devices of people, as this one knows them, and what it says of them. */
export class Devices {
  readonly #options: DevicesOptions;

  constructor(options: DevicesOptions) {
    this.#options = options;
  }

  /** All devices with encryption keys of these users, by user and device id. */
  async list(users: readonly string[]): Promise<DeviceInfo[]> {
    const { crypto, ready, account } = this.#options;
    await ready();
    try {
      const found = await crypto.getUserDeviceInfo([...users], true);
      const devices = [...found.values()].flatMap((devices) => [...devices.values()]);
      const infos = await Promise.all(devices.map((device) => this.#info(device)));
      const order = (one: DeviceInfo) => `${one.user_id} ${one.device_id}`;
      return infos.sort((a, b) => (order(a) < order(b) ? -1 : 1));
    } catch (error) {
      throw toHomeserverError(error, account.homeserver);
    }
  }

  /** One device; without an id, the user's only one. MX_NOT_FOUND. */
  async find(user_id: string, device_id: string | null): Promise<DeviceInfo> {
    const all = await this.list([user_id]);
    const found =
      device_id === null && all.length === 1 ? all[0] : all.find((one) => one.device_id === device_id);
    if (found) return found;
    const which = all.map((one) => one.device_id).join(", ");
    const hint = all.length === 0 ? "they have none with encryption keys" : `say which: ${which}`;
    throw mxError("MX_NOT_FOUND", { what: `device of ${user_id}`, name: device_id ?? "(any)", hint });
  }

  /** Vouches for a device whose fingerprint somebody compared. MX_BAD_INPUT when it is another. */
  async verify(user_id: string, device_id: string | null, fingerprint: string): Promise<DeviceInfo> {
    const { crypto, account } = this.#options;
    const device = await this.find(user_id, device_id);
    if (!sameKey(device.fingerprint, fingerprint))
      throw mxError("MX_BAD_INPUT", {
        detail: `${device.device_id} of ${user_id} shows ${device.fingerprint}, not ${fingerprint}; it was not verified`,
        hint: "compare with `mx-agent device show` on its machine, over a line that you trust",
      });
    await this.#setVerified(device, true);
    const { privateKeysCachedLocally: keys } = await crypto.getCrossSigningStatus();
    // One of our own becomes so for everybody who verified us.
    if (user_id === account.user_id && keys.selfSigningKey && !device.signed_by_owner)
      await crypto.crossSignDevice(device.device_id);
    // His identity is another than the one that was verified: he was vouched for anew, and that one counts no more.
    const user = await crypto.getUserVerificationStatus(user_id);
    if (user.wasCrossSigningVerified() && !user.isVerified())
      await crypto.withdrawVerificationRequirement(user_id);
    return this.find(user_id, device.device_id);
  }

  /** Takes back what was said by hand or by comparing; what cross-signing says stays. */
  async unverify(user_id: string, device_id: string | null): Promise<DeviceInfo> {
    const device = await this.find(user_id, device_id);
    await this.#setVerified(device, false);
    return this.find(user_id, device.device_id);
  }

  async #setVerified({ user_id, device_id }: DeviceInfo, verified: boolean): Promise<void> {
    const { crypto } = this.#options;
    // Only devices of users that we share an encrypted room with, and our own, are in the store.
    if ((await crypto.getDeviceVerificationStatus(user_id, device_id)) === null) {
      const hint = "share an encrypted workspace with its owner first";
      throw mxError("MX_NOT_FOUND", { what: `known device of ${user_id}`, name: device_id, hint });
    }
    await crypto.setDeviceVerified(user_id, device_id, verified);
  }

  async #info(device: Device): Promise<DeviceInfo> {
    const { crypto, account } = this.#options;
    const { userId: user_id, deviceId: device_id } = device;
    const status = await crypto.getDeviceVerificationStatus(user_id, device_id);
    const this_device = user_id === account.user_id && device_id === account.device_id;
    return {
      user_id,
      device_id,
      display_name: device.displayName ?? null,
      fingerprint: inFours(device.getFingerprint() ?? ""),
      this_device,
      verified: this_device || (status?.isVerified() ?? false),
      verified_by: this_device
        ? "itself"
        : status?.crossSigningVerified
          ? "cross_signing"
          : status?.localVerified
            ? "this_machine"
            : null,
      signed_by_owner: status?.signedByOwner ?? false,
    };
  }
}
