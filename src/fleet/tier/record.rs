//! Records: what is sealed, as bytes. Fields follow each other, each of known length or with its length in front; what is
//! left over, or missing, makes the whole unreadable.

use std::time::Duration;

use bytes::Bytes;

/// Writes the fields of a record.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn byte(&mut self, byte: u8) -> &mut Self {
        self.0.push(byte);
        self
    }

    /// Whole microseconds; more than fit are as many as fit.
    pub(super) fn micros(&mut self, duration: Duration) -> &mut Self {
        self.number(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads the fields of a record in the order in which they were written.
#[derive(Debug)]
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) const fn new(record: Bytes) -> Self {
        Self(record)
    }

    pub(super) fn bytes(&mut self) -> Option<Bytes> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let number = u64::from_be_bytes(*self.0.first_chunk()?);
        self.0 = self.0.slice(size_of::<u64>()..);
        Some(number)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        let byte = *self.0.first()?;
        self.0 = self.0.slice(1..);
        Some(byte)
    }

    pub(super) fn micros(&mut self) -> Option<Duration> {
        self.number().map(Duration::from_micros)
    }

    pub(super) fn end(self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Of which fleet and upstream something is.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The fleet's namespace.
    pub namespace: &'a str,
    /// Host and port of the upstream.
    pub authority: &'a str,
}

impl Scope<'_> {
    pub(super) fn write(self, record: &mut Writer) {
        record.bytes(self.namespace.as_bytes()).bytes(self.authority.as_bytes());
    }
}
