"""A matrix-nio client: logs in, joins what it is invited to, says hello, and repeats what it then reads.

Reads one JSON line from stdin: {"url", "user", "password"}. Writes one JSON line for each thing that it did.
"""

import asyncio
import json
import sys

from nio import (
    AsyncClient,
    InviteMemberEvent,
    JoinError,
    LoginError,
    RoomMessagesError,
    RoomMessageText,
    RoomSendError,
    SyncError,
)


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def must(answer, *errors):
    if isinstance(answer, errors):
        raise SystemExit(f"{type(answer).__name__}: {answer.message}")
    return answer


async def main() -> None:
    told = json.loads(sys.stdin.readline())
    client = AsyncClient(told["url"], told["user"])
    heard: asyncio.Queue = asyncio.Queue()
    invited: asyncio.Queue = asyncio.Queue()

    async def on_invite(room, event) -> None:
        if event.state_key == client.user_id and event.membership == "invite":
            await invited.put(room.room_id)

    async def on_text(room, event) -> None:
        if event.sender != client.user_id:
            await heard.put(event.body)

    client.add_event_callback(on_invite, InviteMemberEvent)

    login = must(await client.login(told["password"]), LoginError)
    say(did="login", user=login.user_id)

    must(await client.sync(timeout=0), SyncError)
    room_id = await invited.get()
    must(await client.join(room_id), JoinError)
    say(did="join", room=room_id)

    must(await client.sync(timeout=0, full_state=True), SyncError)
    room = client.rooms[room_id]
    say(did="state", name=room.display_name, members=sorted(room.users))

    history = must(await client.room_messages(room_id, client.next_batch, limit=50), RoomMessagesError)
    texts = [event.body for event in history.chunk if isinstance(event, RoomMessageText)]
    say(did="history", texts=texts)

    client.add_event_callback(on_text, RoomMessageText)
    syncing = asyncio.create_task(client.sync_forever(timeout=30000))
    content = {"msgtype": "m.text", "body": "hello from nio"}
    sent = must(await client.room_send(room_id, "m.room.message", content), RoomSendError)
    say(did="send", event=sent.event_id)

    say(did="read", text=await heard.get())
    syncing.cancel()
    await client.logout()
    await client.close()
    say(did="logout")


asyncio.run(asyncio.wait_for(main(), timeout=60))
