//! A client's bytes, as a slice that will be gone or as a buffer that can be given
//! away in parts: small requests are copied, large ones shared.

use bytes::{Buf, BytesMut};

use crate::resp::{SHARE_MIN, SmallBytes};
use crate::upstream::Link;

pub(super) trait Input {
    /// What has not been taken.
    fn bytes(&self) -> &[u8];
    /// Drops bytes from the front.
    fn skip(&mut self, count: usize);
    /// Takes bytes from the front, to be kept.
    fn take(&mut self, count: usize) -> SmallBytes;
    /// Moves bytes from the front to a link.
    fn forward(&mut self, count: usize, link: &mut Link);
}

impl Input for &[u8] {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn skip(&mut self, count: usize) {
        *self = &self[count..];
    }

    fn take(&mut self, count: usize) -> SmallBytes {
        let taken = SmallBytes::copy(&self[..count]);
        self.skip(count);
        taken
    }

    fn forward(&mut self, count: usize, link: &mut Link) {
        link.append(&self[..count]);
        self.skip(count);
    }
}

impl Input for BytesMut {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn skip(&mut self, count: usize) {
        self.advance(count);
    }

    fn take(&mut self, count: usize) -> SmallBytes {
        if count >= SHARE_MIN {
            return self.split_to(count).freeze().into();
        }
        let taken = SmallBytes::copy(&self[..count]);
        self.advance(count);
        taken
    }

    fn forward(&mut self, count: usize, link: &mut Link) {
        if count < SHARE_MIN {
            link.append(&self[..count]);
            self.advance(count);
        } else {
            link.append_shared(self.split_to(count).freeze());
        }
    }
}
