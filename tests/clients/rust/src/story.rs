//! The chapters and who is in them.

pub mod beginning;
pub mod parting;
pub mod showing;
pub mod surviving;
pub mod talking;
pub mod trusting;

use matrix_sdk::ruma::{OwnedEventId, OwnedRoomId};

use crate::{
    check::Result,
    device::{Device, Stopped},
};

/// The people of the story, the room they meet in, and its first message.
pub struct Cast {
    pub alice: Device,
    pub bob: Person,
    pub carol: Person,
    pub second: Option<Device>,
    pub room: OwnedRoomId,
    pub hello: OwnedEventId,
}

/// Somebody whose app may be closed.
pub enum Person {
    Here(Box<Device>),
    Away(Stopped),
    /// Lost in a step that failed half-way.
    Gone,
}

impl Person {
    /// The running device; an error when the app is closed.
    pub fn here(&self) -> Result<&Device> {
        match self {
            Self::Here(device) => Ok(device),
            _ => Err("the app is closed".into()),
        }
    }

    /// The running device, to change what it has open.
    pub fn here_mut(&mut self) -> Result<&mut Device> {
        match self {
            Self::Here(device) => Ok(device),
            _ => Err("the app is closed".into()),
        }
    }

    /// Closes the app.
    pub async fn leave(&mut self) -> Result<()> {
        if let Self::Here(device) = std::mem::replace(self, Self::Gone) {
            *self = Self::Away(device.stop().await?);
        }
        Ok(())
    }

    /// Opens the app again.
    pub async fn come_back(&mut self) -> Result<()> {
        if let Self::Away(stopped) = std::mem::replace(self, Self::Gone) {
            *self = Self::Here(Box::new(stopped.start().await?));
        }
        Ok(())
    }
}
