"""One device of one person: an AsyncClient with its store, and what it has seen."""

import os
import tempfile

import aiohttp
from nio import (
    AsyncClient,
    AsyncClientConfig,
    Event,
    LoginResponse,
    MegolmEvent,
    RoomSendResponse,
    SyncResponse,
    ToDeviceEvent,
)

from check import good, same, until

URL = os.environ["HOMESERVER_URL"]
TOKEN = os.environ.get("HOMESERVER_TOKEN", "")
REGISTER = "/_matrix/client/v3/register"
STORES = tempfile.TemporaryDirectory()
CONFIG = AsyncClientConfig(store_sync_tokens=True, encryption_enabled=True)


class Device:
    """`open` and `close` are starting and ending the program; its store stays."""

    def __init__(self, localpart, password):
        self.localpart, self.password = localpart, password
        self.user_id = self.device_id = self.token = self.client = None

    async def register(self):
        """Makes the account, and logs in: nio's own registration expects a second stage after the token."""
        body = {"username": self.localpart, "password": self.password, "inhibit_login": True}
        async with aiohttp.ClientSession(URL) as http:
            async with http.post(REGISTER, json=body) as answer:
                challenge = await answer.json()
            kind = challenge["flows"][0]["stages"][0]
            body["auth"] = {"type": kind, "token": TOKEN, "session": challenge["session"]}
            async with http.post(REGISTER, json=body) as answer:
                same("status of the registration", answer.status, 200)
        await self.login()

    async def login(self):
        """Logs in by password, as another device of the account."""
        self._start(self.localpart)
        self._is(good(await self.client.login(self.password, "nio"), LoginResponse))

    async def reopen(self):
        """Ends the program and starts it again on its store."""
        await self.client.close()
        self._start(self.user_id)
        self.client.restore_login(self.user_id, self.device_id, self.token)

    async def sync(self, timeout=250):
        """One sync, with the requests about keys that it calls for."""
        client = self.client
        good(await client.sync(timeout=timeout), SyncResponse)
        if client.should_upload_keys:
            await client.keys_upload()
        if client.should_query_keys:
            await client.keys_query()
        if client.should_claim_keys:
            await client.keys_claim(client.get_users_for_key_claiming())
        await client.send_to_device_messages()
        return True

    async def seen(self, what, look):
        """Syncs until `look` finds something."""

        async def once():
            return look() or (await self.sync() and look())

        return await until(f"{self.localpart} sees {what}", once)

    def room(self, room_id):
        """The room, if it is joined."""
        return self.client.rooms.get(room_id)

    async def say(self, room_id, body, **further):
        """Sends text and gives its event id."""
        return await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": body, **further})

    async def send(self, room_id, kind, content):
        """Sends an event, encrypted where the room is, and gives its id."""
        answer = await self.client.room_send(room_id, kind, content, ignore_unverified_devices=True)
        return good(answer, RoomSendResponse).event_id

    async def hears(self, room_id, event_id, body):
        """Waits for a message and checks its text and that it came encrypted."""
        event = await self.seen(f"“{body}”", lambda: self.events.get(event_id))
        if isinstance(event, MegolmEvent):
            raise AssertionError(f"“{body}” cannot be decrypted")
        if event.source["content"].get("body") != body or not event.decrypted:
            raise AssertionError(f"“{body}” came as {event}")
        return event

    def device_of(self, other):
        """What this device knows of another one."""
        return self.client.device_store[other.user_id].get(other.device_id)

    def _start(self, user):
        self.client = AsyncClient(URL, user, store_path=STORES.name, config=CONFIG)
        self.events, self.messages = {}, []
        self.client.add_event_callback(self._note, Event)
        self.client.add_to_device_callback(self._note_message, ToDeviceEvent)

    async def _note(self, _room, event):
        self.events[event.event_id] = event

    async def _note_message(self, event):
        self.messages.append(event)

    def _is(self, session):
        self.user_id, self.device_id, self.token = session.user_id, session.device_id, session.access_token
