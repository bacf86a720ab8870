"""A matrix-nio client in an encrypted room: repeats what it could decrypt, and sends what it is told to.

Reads one JSON line from stdin: {"url", "user", "password", "store", "type"}; then one line for each content to
send as an event of that type. Writes one JSON line for each thing that it did.
"""

import asyncio
import json
import sys

from nio import (
    AsyncClient,
    AsyncClientConfig,
    Event,
    InviteMemberEvent,
    JoinError,
    LoginError,
    MegolmEvent,
    RoomSendError,
)


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
    must(await client.login(how["password"]), LoginError)
    syncing = asyncio.create_task(client.sync_forever(timeout=30000, full_state=True))
    room_id = await joined
    async for content in told:
        sent = await client.room_send(room_id, how["type"], content, ignore_unverified_devices=True)
        say(did="send", event=must(sent, RoomSendError).event_id)
    syncing.cancel()
    await client.logout()
    await client.close()


asyncio.run(asyncio.wait_for(main(), timeout=110))
