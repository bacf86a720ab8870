"""A matrix-nio client in an encrypted room: repeats what it could decrypt, does what it is told to, and says yes to
whoever asks to verify it.

Reads one JSON line from stdin: {"url", "user", "password", "store", "type"}; then one line for each thing to do:
{"send": content} as an event of that type, {"verify": [user, device]}. Writes one JSON line for each thing that it did.

nio compares and computes by itself, but knows no requests for verification and no end of one (m.key.verification.request,
ready, done): those are added here, as the specification has them.
"""

import asyncio
import json
import sys
import time
import uuid

from nio import (
    AsyncClient,
    AsyncClientConfig,
    Event,
    InviteMemberEvent,
    JoinError,
    KeyVerificationEvent,
    KeyVerificationKey,
    KeyVerificationMac,
    KeyVerificationStart,
    LoginError,
    MegolmEvent,
    RoomSendError,
    ToDeviceError,
    ToDeviceMessage,
    UnknownToDeviceEvent,
)
from nio.crypto import Sas

METHODS = ["m.sas.v1"]


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def must(answer, *errors):
    if isinstance(answer, errors):
        raise SystemExit(f"{type(answer).__name__}: {answer.message}")
    return answer


async def lines():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


class Verifications:
    """Both roles, with a person who says yes at once."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.asked: dict[str, tuple[str, str]] = {}
        client.add_to_device_callback(self.on_unknown, UnknownToDeviceEvent)
        client.add_to_device_callback(self.on_step, KeyVerificationEvent)

    async def tell(self, user: str, device: str, step: str, **content: object) -> None:
        message = ToDeviceMessage(f"m.key.verification.{step}", user, device, content)
        must(await self.client.to_device(message), ToDeviceError)

    async def ask(self, user: str, device: str) -> None:
        transaction = str(uuid.uuid4())
        self.asked[transaction] = (user, device)
        own = {"from_device": self.client.device_id, "methods": METHODS, "transaction_id": transaction}
        await self.tell(user, device, "request", **own, timestamp=int(time.time() * 1000))

    async def on_unknown(self, event) -> None:
        content = event.source["content"]
        transaction = content.get("transaction_id")
        if event.type == "m.key.verification.request":
            own = {"from_device": self.client.device_id, "methods": METHODS, "transaction_id": transaction}
            await self.tell(event.sender, content["from_device"], "ready", **own)
        elif event.type == "m.key.verification.ready" and transaction in self.asked:
            user, device = self.asked[transaction]
            olm = self.client.olm
            key = olm.account.identity_keys["ed25519"]
            other = self.client.device_store[user][device]
            sas = Sas(self.client.user_id, self.client.device_id, key, other, transaction)
            olm.key_verifications[transaction] = sas
            must(await self.client.to_device(sas.start_verification()), ToDeviceError)

    async def on_step(self, event) -> None:
        transaction = event.transaction_id
        sas = self.client.key_verifications.get(transaction)
        if sas is None or sas.canceled:
            say(did="cancel", why=getattr(event, "reason", None) or (sas and sas.cancel_reason))
        elif isinstance(event, KeyVerificationStart):
            must(await self.client.accept_key_verification(transaction), ToDeviceError)
        elif isinstance(event, KeyVerificationKey):
            # What nio still has to send must be there first: its own key.
            await self.client.send_to_device_messages()
            say(did="compare", emoji=[symbol for symbol, _ in sas.get_emoji()], decimal=list(sas.get_decimals()))
            must(await self.client.confirm_short_auth_string(transaction), ToDeviceError)
            await self.end(sas)
        elif isinstance(event, KeyVerificationMac):
            await self.end(sas)

    async def end(self, sas) -> None:
        """Both have said yes, and nio has verified the device."""
        if not sas.verified:
            return
        other = sas.other_olm_device
        await self.tell(other.user_id, other.id, "done", transaction_id=sas.transaction_id)
        say(did="verify", device=other.id, verified=self.client.olm.is_device_verified(other))


async def main() -> None:
    told = lines()
    how = await anext(told)
    config = AsyncClientConfig(encryption_enabled=True, store_sync_tokens=True)
    client = AsyncClient(how["url"], how["user"], store_path=how["store"], config=config)
    joined: asyncio.Future = asyncio.get_running_loop().create_future()

    async def on_invite(room, event) -> None:
        if event.state_key == client.user_id and event.membership == "invite" and not joined.done():
            must(await client.join(room.room_id), JoinError)
            joined.set_result(room.room_id)
            say(did="join", device=client.device_id)

    async def on_event(room, event) -> None:
        if isinstance(event, MegolmEvent):
            say(did="fail to decrypt", event=event.event_id)
        elif event.sender != client.user_id and event.decrypted:
            say(did="read", type=event.source["type"], content=event.source["content"])

    client.add_event_callback(on_invite, InviteMemberEvent)
    client.add_event_callback(on_event, Event)
    verifications = Verifications(client)
    must(await client.login(how["password"]), LoginError)
    syncing = asyncio.create_task(client.sync_forever(timeout=30000, full_state=True))
    room_id = await joined
    async for do in told:
        if "send" in do:
            sent = await client.room_send(room_id, how["type"], do["send"], ignore_unverified_devices=True)
            say(did="send", event=must(sent, RoomSendError).event_id)
        elif "verify" in do:
            await verifications.ask(*do["verify"])
    syncing.cancel()
    await client.logout()
    await client.close()


asyncio.run(asyncio.wait_for(main(), timeout=110))
