"""One story told by matrix-nio, from registration to logout, with a power cut in the middle.

Every step is run; a failed step does not stop the story. Exit code 1 when any step failed.
"""

import asyncio
import io
import os
import secrets
import struct
import sys
import zlib

from nio import (
    DeleteDevicesAuthResponse,
    DeleteDevicesResponse,
    JoinResponse,
    KeysUploadResponse,
    LogoutResponse,
    MemoryDownloadResponse,
    ProfileGetResponse,
    RoomContextResponse,
    RoomCreateResponse,
    RoomGetStateEventResponse,
    RoomInviteResponse,
    RoomLeaveResponse,
    RoomMessagesResponse,
    RoomPutAliasResponse,
    RoomResolveAliasResponse,
    RoomTypingResponse,
    ThumbnailResponse,
    UploadResponse,
    WhoamiError,
    WhoamiResponse,
)
from nio.crypto import decrypt_attachment
from nio.crypto.sas import SasState

from check import good, run, same, step, summary
from device import Device

ENCRYPTED = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
SUFFIX = secrets.token_hex(4)
PASSWORD = "wombat lantern quartz 7 drizzle envoy"

alice = Device(f"alice-{SUFFIX}", PASSWORD)
bob = Device(f"bob-{SUFFIX}", f"{PASSWORD} bob")
room = None
hello = None


async def beginning():
    """Accounts and an encrypted room."""
    global room
    for person in (alice, bob):
        await person.register()
        good(await person.client.whoami(), WhoamiResponse)
        await person.sync()
        if person.client.olm_account_shared is not True:
            good(await person.client.keys_upload(), KeysUploadResponse)
    await alice.client.set_displayname("Alice of the story")
    profile = good(await bob.client.get_profile(alice.user_id), ProfileGetResponse)
    same("display name", profile.displayname, "Alice of the story")
    room = good(await alice.client.room_create(name="The story", initial_state=[ENCRYPTED]), RoomCreateResponse).room_id
    await alice.seen("the room", lambda: alice.room(room) and alice.room(room).encrypted)


async def inviting():
    """Bob is invited and joins."""
    good(await alice.client.room_invite(room, bob.user_id), RoomInviteResponse)
    invited = await bob.seen("the invitation", lambda: bob.client.invited_rooms.get(room))
    same("the invited room's name", invited.name, "The story")
    same("the inviter", invited.inviter, alice.user_id)
    good(await bob.client.join(room), JoinResponse)
    await bob.seen("the room", lambda: bob.room(room) and bob.room(room).encrypted)
    await alice.seen("bob in the room", lambda: bob.user_id in alice.room(room).users)


async def talking():
    """Messages both ways, a reaction, an edit, a redaction, typing, read markers."""
    global hello
    hello = await alice.say(room, "hello bob")
    await bob.hears(room, hello, "hello bob")
    answer = await bob.say(room, "hello alice")
    await alice.hears(room, answer, "hello alice")
    replaced = {"rel_type": "m.replace", "event_id": hello}
    edit = await alice.say(room, "* hello, bob", **{"m.new_content": {"msgtype": "m.text", "body": "hello, bob"}, "m.relates_to": replaced})
    await bob.hears(room, edit, "* hello, bob")
    gone = await bob.say(room, "soon gone")
    await alice.hears(room, gone, "soon gone")
    await bob.client.room_redact(room, gone, "of the story")
    await alice.seen("the redaction", lambda: any(getattr(e, "redacts", None) == gone for e in alice.events.values()))
    good(await alice.client.room_typing(room, True), RoomTypingResponse)
    await bob.seen("alice typing", lambda: alice.user_id in bob.room(room).typing_users)
    await alice.client.room_typing(room, False)
    await bob.client.room_read_markers(room, answer, answer)
    await alice.seen("how far bob read", lambda: alice.room(room).read_receipts.get(bob.user_id))
    same("where bob is", alice.room(room).read_receipts[bob.user_id].event_id, answer)


async def verifying():
    """Alice's and Bob's devices verify each other by emoji, in messages between devices."""
    await alice.client.start_key_verification(await alice.seen("bob's device", lambda: alice.device_of(bob)))
    sas_of = lambda who: next(iter(who.client.key_verifications.values()), None)
    theirs = await bob.seen("the verification", lambda: sas_of(bob))
    await bob.client.accept_key_verification(theirs.transaction_id)
    mine = sas_of(alice)
    for _ in range(2):
        for person in (alice, bob):
            await person.sync(0)
    for person, sas in ((alice, mine), (bob, theirs)):
        await person.seen("the other's key", lambda sas=sas: sas.state == SasState.key_received)
    same("the emoji", mine.get_emoji(), theirs.get_emoji())
    for person, sas in ((alice, mine), (bob, theirs)):
        await person.client.confirm_short_auth_string(sas.transaction_id)
    await alice.seen("bob verified", lambda: alice.device_of(bob).verified)
    await bob.seen("alice verified", lambda: bob.device_of(alice).verified)


async def showing():
    """An encrypted picture comes back byte for byte; a plain one has a thumbnail."""
    picture = png(120, 90)
    uploaded, keys = await alice.client.upload(
        lambda *_: io.BytesIO(picture), "image/png", "a.png", encrypt=True, filesize=len(picture)
    )
    uri = good(uploaded, UploadResponse).content_uri
    file = {"url": uri, "mimetype": "image/png", **keys}
    sent = await alice.send(room, "m.room.message", {"msgtype": "m.image", "body": "a.png", "file": file})
    told = (await bob.hears(room, sent, "a.png")).source["content"]["file"]
    sealed = good(await bob.client.download(told["url"]), MemoryDownloadResponse).body
    same("the picture", decrypt_attachment(sealed, told["key"]["k"], told["hashes"]["sha256"], told["iv"]), picture)
    plain, _ = await alice.client.upload(lambda *_: io.BytesIO(picture), "image/png", "a.png", filesize=len(picture))
    server, media = good(plain, UploadResponse).content_uri.removeprefix("mxc://").split("/")
    small = good(await bob.client.thumbnail(server, media, 32, 32), ThumbnailResponse)
    same("its type", small.content_type, "image/jpeg")


async def reading():
    """History, context, state and names, as a client asks for them."""
    page = good(await bob.client.room_messages(room, bob.client.next_batch, limit=50), RoomMessagesResponse)
    ids = [event.event_id for event in page.chunk]
    if hello not in ids:
        raise AssertionError("the first message is not in the history")
    good(await bob.client.room_context(room, hello, limit=4), RoomContextResponse)
    name = good(await bob.client.room_get_state_event(room, "m.room.name"), RoomGetStateEventResponse)
    same("the room's name", name.content["name"], "The story")
    alias = f"#nio-{SUFFIX}:{alice.user_id.split(':')[1]}"
    good(await alice.client.room_put_alias(alias, room), RoomPutAliasResponse)
    same("where the alias leads", good(await bob.client.room_resolve_alias(alias), RoomResolveAliasResponse).room_id, room)


async def surviving():
    """The server dies; both programs start again, and what was said and is said is read."""
    missed = await alice.say(room, "before the cut")
    await run(os.environ["HOMESERVER_KILL"])
    await run(os.environ["HOMESERVER_START"])
    for person in (alice, bob):
        await person.reopen()
    await bob.hears(room, missed, "before the cut")
    await alice.sync()
    after = await alice.say(room, "after the cut")
    await bob.hears(room, after, "after the cut")
    same("bob's trust in alice", bob.device_of(alice).verified, True)


async def parting():
    """A second device is deleted, Bob leaves, everybody logs out."""
    second = Device(alice.localpart, alice.password)
    await second.login()
    await second.sync()
    asked = good(await alice.client.delete_devices([second.device_id]), DeleteDevicesAuthResponse)
    user = {"type": "m.id.user", "user": alice.user_id}
    auth = {"type": "m.login.password", "session": asked.session, "identifier": user, "password": alice.password}
    good(await alice.client.delete_devices([second.device_id], auth), DeleteDevicesResponse)
    good(await second.client.whoami(), WhoamiError)
    await second.client.close()
    good(await bob.client.room_leave(room), RoomLeaveResponse)
    await alice.seen("bob gone", lambda: bob.user_id not in alice.room(room).users)
    for person in (bob, alice):
        good(await person.client.logout(), LogoutResponse)
        await person.client.close()


def png(width, height):
    """A grey picture."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def story():
    """Every chapter; its first line of documentation names it."""
    for chapter in (beginning, inviting, talking, verifying, showing, reading, surviving, parting):
        await step(chapter.__doc__.splitlines()[0].rstrip("."), chapter)
    return summary()


sys.exit(0 if asyncio.run(story()) else 1)
