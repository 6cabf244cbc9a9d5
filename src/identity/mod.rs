//! Who somebody is: from a certificate to a user, or to a reason why not.
//!
//! ```text
//! leaf DER -> Certificate { subject: Name, .. } -+
//!                                                +-> Directory -> Permit | Claim | Refusal
//! configuration -> User { lines: SubjectLine } --+     Claim + Check -> Proof -> Permit | Refusal
//! ```
//!
//! Both sides become a [`Name`], and names are compared as parsed: no printed
//! text is ever matched. Only this module makes a [`Permit`]. It reads no clock:
//! a certificate's validity is reported here and judged elsewhere.

mod attempts;
mod attribute;
mod certificate;
mod der;
mod directory;
mod encode;
mod line;
mod line_error;
mod lint;
mod map;
mod name;
mod oid;
mod oneline;
mod parse;
mod password;
mod password_check;
mod permit;
mod realm;
mod refusal;
pub mod roles;
mod rule;
mod user;
mod value;

pub use attempts::{Attempts, Network};
pub use certificate::{Certificate, Fingerprint, Unreadable};
pub use der::DerError;
pub use directory::{Admission, Claim, Directory};
pub use line::{Mismatch, SubjectLine};
pub use line_error::LineError;
pub use lint::{Advice, Lint};
pub use map::{MapError, UserMap};
pub use name::{Name, NameError};
pub use password::{HashError, LANES_MAX, MEMORY_KIB_MAX, PASSES_MAX, PasswordHash};
pub use password_check::{Check, Method, Proof};
pub use permit::Permit;
pub use realm::{Chain, Realm, RealmKind, Verify};
pub use refusal::{Reason, Refusal};
pub use rule::Rule;
pub use user::{Credential, Needs, User};
