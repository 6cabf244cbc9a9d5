//! Who somebody is: from a certificate to a user, or to a reason why not.
//!
//! ```text
//! leaf DER -> Certificate { subject: Name, .. } -> Evidence -+
//!                                                            +-> UserMap::permit -> Permit | Refusal
//! configuration -> User { lines: SubjectLine } --------------+
//! ```
//!
//! Both sides become a [`Name`], and names are compared as parsed: no printed
//! text is ever matched. Only this module makes a [`Permit`]. It reads no clock:
//! a certificate's validity is reported here and judged elsewhere.

mod attribute;
mod certificate;
mod der;
mod encode;
mod evidence;
mod fingerprint;
mod line;
mod line_error;
mod lint;
mod map;
mod name;
mod oid;
mod oneline;
mod parse;
mod refusal;
mod rule;
mod san;
mod user;
mod value;

pub use certificate::{Certificate, Unreadable};
pub use der::DerError;
pub use evidence::Evidence;
pub use fingerprint::{BadFingerprint, Fingerprint};
pub use line::{Mismatch, SubjectLine};
pub use line_error::LineError;
pub use lint::{Advice, Lint};
pub use map::{MapError, Permit, UserMap};
pub use name::{Name, NameError};
pub use refusal::{Reason, Refusal};
pub use rule::Rule;
pub use san::{San, SanKind};
pub use user::{Credential, User};
