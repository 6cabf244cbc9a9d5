//! Who somebody is: from a certificate to a user, or to a reason why not.
//!
//! ```text
//! leaf DER -> Certificate { subject: Name, .. } -> Evidence -+
//!                                                            +-> Directory -> Permit | Claim | Refusal
//! configuration -> User { entries: Entry } -> UserMap -------+     Claim + Check -> Proof -> Permit | Refusal
//! ```
//!
//! Both sides become a [`Name`], and names are compared as parsed: no printed
//! text is ever matched. Only this module makes a [`Permit`]. It reads no clock:
//! a certificate's validity is reported here and judged elsewhere.

mod account;
mod admissible;
mod alternative;
mod attempts;
mod attribute;
mod certificate;
mod credential;
mod der;
mod directory;
mod encode;
mod entry;
mod evidence;
mod extract;
mod fingerprint;
mod gate;
mod line;
mod line_error;
mod lint;
mod map;
mod map_error;
mod mismatch;
mod multiset;
mod name;
mod nearest;
mod oid;
mod oneline;
mod parse;
mod password;
mod password_check;
mod pattern;
mod permit;
mod principal;
mod realm;
mod recognition;
mod refusal;
mod rights;
pub mod roles;
mod rule;
mod san;
mod scope;
mod skip;
mod structured;
mod user;
mod value;

pub use account::{Account, Asked, Verdict};
pub use alternative::AlternativeError;
pub use attempts::{Attempts, Network};
pub use certificate::{Certificate, Unreadable};
pub use credential::{Credential, Keeping, Kept, Password};
pub use der::DerError;
pub use directory::{Admission, Claim, Directory};
pub use entry::{Difference, Entry, EntryError};
pub use evidence::Evidence;
pub use extract::{Extract, ExtractError};
pub use fingerprint::{BadFingerprint, Fingerprint};
pub use gate::{AuthorizedSubject, Gate, GateError};
pub use line::{Order, SubjectLine};
pub use line_error::LineError;
pub use lint::{Advice, Lint};
pub use map::{Tried, UserMap};
pub use map_error::MapError;
pub use mismatch::Mismatch;
pub use name::{Name, NameError};
pub use password::{HashError, LANES_MAX, MEMORY_KIB_MAX, PASSES_MAX, PasswordHash};
pub use password_check::{Check, Method, Proof};
pub use pattern::{Pattern, PatternError};
pub use permit::Permit;
pub use principal::{Extraction, Principal, TableError, derived};
pub use realm::{Chain, Realm, RealmKind, Verify};
pub use recognition::Recognition;
pub use refusal::{Reason, Refusal, shortened};
pub use rights::Rights;
pub use rule::Rule;
pub use san::{San, SanKind};
pub use scope::Scope;
pub use skip::{Skip, SkipError};
pub use structured::StructuredError;
pub use user::{Needs, ReadFrom, User};
