//! One device of one person, set up as Element X sets itself up.

use std::sync::{Arc, Mutex};

use matrix_sdk::{
    Client, Room, RoomState, ThreadingSupport,
    authentication::matrix::MatrixSession,
    encryption::{BackupDownloadStrategy, EncryptionSettings, verification::VerificationRequest},
    ruma::{
        OwnedEventId, OwnedRoomId, OwnedUserId, RoomId,
        api::client::{
            account::register,
            uiaa::{AuthData, AuthType, Dummy, RegistrationToken},
        },
        events::{
            key::verification::request::ToDeviceKeyVerificationRequestEvent,
            room::message::{MessageType, OriginalSyncRoomMessageEvent, RoomMessageEventContent},
        },
    },
    sliding_sync::VersionBuilder,
};
use matrix_sdk_ui::{
    sync_service::{State, SyncService},
    timeline::{EventTimelineItem, RoomExt, Timeline},
};
use tempfile::TempDir;

use crate::{
    check::{Result, until},
    server,
};

/// How many events of a room its subscription asks for.
const LATEST: usize = 20;

/// Creates an account without a device; Element X logs in afterwards.
pub async fn register(localpart: &str, password: &str) -> Result<()> {
    let client = Client::builder().homeserver_url(server::url()?).build().await?;
    let mut request = register::v3::Request::new();
    request.username = Some(localpart.to_owned());
    request.password = Some(password.to_owned());
    request.inhibit_login = true;
    loop {
        let Err(error) = client.matrix_auth().register(request.clone()).await else { return Ok(()) };
        let Some(info) = error.as_uiaa_response() else { return Err(error.into()) };
        if let Some(refused) = &info.auth_error {
            return Err(format!("registration refused: {refused:?}").into());
        }
        let known = [AuthType::Dummy, AuthType::RegistrationToken];
        let flow = info.flows.iter().find(|flow| flow.stages.iter().all(|stage| known.contains(stage)));
        let flow = flow.ok_or("no registration flow this story can walk")?;
        let stage = flow.stages.iter().find(|stage| !info.completed.contains(stage));
        request.auth = Some(match stage {
            Some(AuthType::RegistrationToken) => {
                let token = server::registration_token().ok_or("HOMESERVER_TOKEN is not set")?;
                let mut auth = RegistrationToken::new(token);
                auth.session = info.session.clone();
                AuthData::RegistrationToken(auth)
            }
            _ => {
                let mut auth = Dummy::new();
                auth.session = info.session.clone();
                AuthData::Dummy(auth)
            }
        });
    }
}

/// A running device. `stop` closes the app, `Stopped::start` opens it again on the same stores.
pub struct Device {
    /// The SDK's client.
    pub client: Client,
    /// Both sliding sync connections.
    pub sync: Arc<SyncService>,
    /// Verification requests that have come in.
    pub requests: Arc<Mutex<Vec<VerificationRequest>>>,
    password: String,
    store: TempDir,
    timeline: Option<Arc<Timeline>>,
}

/// A closed app: what is on the phone's disk.
pub struct Stopped {
    session: MatrixSession,
    password: String,
    store: TempDir,
}

impl Device {
    /// Logs in by password and starts syncing.
    pub async fn log_in(localpart: &str, password: &str) -> Result<Self> {
        let store = tempfile::tempdir()?;
        let client = build(&store).await?;
        client
            .matrix_auth()
            .login_username(localpart, password)
            .initial_device_display_name("story")
            .request_refresh_token()
            .send()
            .await?;
        Self::begin(client, password.to_owned(), store).await
    }

    async fn begin(client: Client, password: String, store: TempDir) -> Result<Self> {
        let requests = collect_requests(&client);
        client.event_cache().subscribe()?;
        let sync = Arc::new(SyncService::builder(client.clone()).with_offline_mode().build().await?);
        sync.start().await;
        restart_on_error(Arc::downgrade(&sync));
        client.encryption().wait_for_e2ee_initialization_tasks().await;
        Ok(Self { client, sync, requests, password, store, timeline: None })
    }

    /// Closes the app; the stores and the tokens stay.
    pub async fn stop(self) -> Result<Stopped> {
        self.sync.stop().await;
        let session = self.client.matrix_auth().session().ok_or("no session")?;
        Ok(Stopped { session, password: self.password, store: self.store })
    }

    /// The full user id.
    pub fn user_id(&self) -> OwnedUserId {
        self.client.user_id().expect("a device is logged in").to_owned()
    }

    /// The password this device logged in with.
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The room once this device has it in the given state.
    pub async fn room(&self, id: &RoomId, state: RoomState) -> Result<Room> {
        until(&format!("the room is {state:?}"), async || self.client.get_room(id).filter(|room| room.state() == state))
            .await
    }

    /// The room this device is invited to, once it is known by whom: joining earlier, the SDK does not know whose
    /// history to accept.
    pub async fn invited(&self, id: &RoomId) -> Result<(Room, OwnedUserId)> {
        let room = self.room(id, RoomState::Invited).await?;
        let inviter = until("it is known who invites", async || {
            room.invite_details().await.ok()?.inviter.map(|member| member.user_id().to_owned())
        })
        .await?;
        Ok((room, inviter))
    }

    /// Opens the room as the app does: subscribed, with a live timeline. The timeline is made when the answer to the
    /// subscription is in: matrix-sdk-ui 0.18 first listens to what comes and then takes up what is there, so whatever comes
    /// in between is taken up twice, and later changes land on other events than they belong to.
    pub async fn open(&mut self, id: &OwnedRoomId) -> Result<()> {
        let room = self.room(id, RoomState::Joined).await?;
        self.sync.room_list_service().subscribe_to_rooms(&[id]).await;
        let (cache, _kept) = room.event_cache().await?;
        until("the latest events of the room come in", async || {
            let events = cache.events().await.ok()?;
            let whole = events.iter().any(|event| event.kind.event_type().as_deref() == Some("m.room.create"));
            (whole || events.len() >= LATEST).then_some(())
        })
        .await?;
        self.timeline = Some(Arc::new(room.timeline().await?));
        Ok(())
    }

    /// The timeline of the room that is open.
    pub fn timeline(&self) -> Result<&Timeline> {
        self.timeline.as_deref().ok_or_else(|| "no room is open".into())
    }

    /// Sends text through the send queue; gives its event id once the server has echoed it.
    pub async fn say(&self, body: &str) -> Result<OwnedEventId> {
        let timeline = self.timeline()?;
        timeline.send(RoomMessageEventContent::text_plain(body).into()).await?;
        self.sent(timeline, body).await
    }

    /// The event id of an own message, once it is a remote event.
    pub async fn sent(&self, timeline: &Timeline, body: &str) -> Result<OwnedEventId> {
        until(&format!("the echo of “{body}”"), async || {
            let item = find(timeline, |item| item.is_own() && item.is_remote_event() && says(item, body)).await?;
            item.event_id().map(ToOwned::to_owned)
        })
        .await
    }

    /// Waits until the open timeline shows a message decrypted, from an encrypted event.
    pub async fn hears(&self, id: &OwnedEventId, body: &str) -> Result<EventTimelineItem> {
        let timeline = self.timeline()?;
        let found = until(&format!("“{body}” is read"), async || {
            find(timeline, |item| item.event_id() == Some(id) && says(item, body)).await
        })
        .await;
        match found {
            Ok(item) if item.encryption_info().is_some() => Ok(item),
            Ok(_) => Err(format!("“{body}” came in the clear").into()),
            Err(error) => {
                let shown = timeline.item_by_event_id(id).await;
                let shown = shown.map_or("nothing", |item| match item.content() {
                    content if content.is_unable_to_decrypt() => "an undecryptable event",
                    content if content.is_redacted() => "a redacted event",
                    _ => "another content",
                });
                Err(format!("{error}; the timeline shows {shown}").into())
            }
        }
    }

    /// Waits for `look` on the open timeline's item of an event.
    pub async fn sees(&self, what: &str, id: &OwnedEventId, look: impl Fn(&EventTimelineItem) -> bool) -> Result<()> {
        let timeline = self.timeline()?;
        until(what, async || {
            let item = timeline.item_by_event_id(id).await?;
            look(&item).then_some(())
        })
        .await
    }

    /// Pages back until the event is in the open timeline.
    pub async fn reaches(&self, id: &OwnedEventId) -> Result<()> {
        let timeline = self.timeline()?;
        until("history reaches back to the event", async || {
            if timeline.item_by_event_id(id).await.is_some() {
                return Some(());
            }
            timeline.paginate_backwards(20).await.ok();
            None
        })
        .await
    }
}

impl Stopped {
    /// Opens the app again.
    pub async fn start(self) -> Result<Device> {
        let client = build(&self.store).await?;
        client.restore_session(self.session).await?;
        Device::begin(client, self.password, self.store).await
    }
}

/// The newest item of a timeline that `wanted` accepts.
pub async fn find(timeline: &Timeline, wanted: impl Fn(&EventTimelineItem) -> bool) -> Option<EventTimelineItem> {
    let items = timeline.items().await;
    items.iter().rev().filter_map(|item| item.as_event()).find(|item| wanted(item)).cloned()
}

/// Whether an item is a message with this text.
pub fn says(item: &EventTimelineItem, body: &str) -> bool {
    item.content().as_message().is_some_and(|message| message.body() == body)
}

async fn build(store: &TempDir) -> Result<Client> {
    let settings = EncryptionSettings {
        auto_enable_cross_signing: true,
        backup_download_strategy: BackupDownloadStrategy::AfterDecryptionFailure,
        auto_enable_backups: true,
    };
    let client = Client::builder()
        .homeserver_url(server::url()?)
        .sliding_sync_version_builder(VersionBuilder::DiscoverNative)
        .sqlite_store(store.path(), None)
        .handle_refresh_tokens()
        .with_encryption_settings(settings)
        .with_enable_share_history_on_invite(true)
        .with_threading_support(ThreadingSupport::Enabled { with_subscriptions: false })
        .build()
        .await?;
    Ok(client)
}

fn collect_requests(client: &Client) -> Arc<Mutex<Vec<VerificationRequest>>> {
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    client.add_event_handler(move |event: ToDeviceKeyVerificationRequestEvent, client: Client| async move {
        let flow = event.content.transaction_id.as_str();
        if let Some(request) = client.encryption().get_verification_request(&event.sender, flow).await {
            seen.lock().expect("no step panics with the lock").push(request);
        }
    });
    let seen = requests.clone();
    client.add_event_handler(move |event: OriginalSyncRoomMessageEvent, client: Client| async move {
        if let MessageType::VerificationRequest(_) = &event.content.msgtype {
            let flow = event.event_id.as_str();
            if let Some(request) = client.encryption().get_verification_request(&event.sender, flow).await {
                seen.lock().expect("no step panics with the lock").push(request);
            }
        }
    });
    requests
}

/// What the app does when a sync ends with an error: it starts the service again.
fn restart_on_error(sync: std::sync::Weak<SyncService>) {
    tokio::spawn(async move {
        let Some(mut states) = sync.upgrade().map(|sync| sync.state()) else { return };
        while let Some(state) = states.next().await {
            let Some(sync) = sync.upgrade() else { return };
            if matches!(state, State::Error(_) | State::Terminated) {
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                sync.start().await;
            }
        }
    });
}
