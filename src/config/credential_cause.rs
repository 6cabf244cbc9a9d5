//! What can be wrong with how the gateway becomes a Redis user, other than by a name and a
//! password in the configuration: users that it makes, passwords that a command yields, and a
//! Redis that knows only one user.

use super::cause::Cause;
use crate::upstream::AclError;

/// One thing that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the error texts say what the variants and their fields are")]
pub enum CredentialCause {
    // Users that the gateway makes.
    #[error("{0}")]
    Acl(AclError),
    #[error("no database says by whom users are made")]
    NoProvisioning,
    #[error("acl takes the place of this key: the gateway makes the user and its password")]
    BesideAcl,
    #[error("found {found:?}, expected 1 to 64 of the characters A-Z a-z 0-9 _ . -")]
    BadNamePart { found: String },
    #[error("nothing tells this gateway's users from another gateway's, expected instance or instance_env")]
    NoInstance,
    #[error("both instance and instance_env, expected one")]
    TwoInstances,
    #[error("an earlier database is the same Redis with the same prefix and instance")]
    SameInstance,
    #[error("{found:?} begins with {namespace:?}, as those do that the gateway makes: it would be removed")]
    GivenAsMade { found: String, namespace: String },
    #[error("found {found} s, expected {least} to {most}")]
    Seconds { found: u64, least: u64, most: u64 },
    #[error("no user and no role has an acl: the gateway makes nobody, and removes whom it has made")]
    NobodyProvisioned,

    // Passwords that a command yields.
    #[error("the password is given already, expected redis_password_command or another place for it")]
    CommandBesidePassword,
    #[error("the first word is empty, expected a program")]
    NoProgram,
    #[error("there is no program {found:?}")]
    UnknownProgram { found: String },
    #[error("there is no redis_password_command beside it")]
    RefreshWithoutCommand,

    // A Redis that knows one user.
    #[error(
        "with auth = \"password\" every client is the same Redis user: only commands tells what it may do"
    )]
    OneRedisUser,
    #[error("with auth = \"password\" there is one Redis user, and its password stands in [database]")]
    UserOfNameless,
    #[error("with auth = \"password\" Redis holds nobody back: expected commands to be written")]
    NoCommands,
    #[error("with auth = \"password\" Redis can compare no user's password, expected password_hash")]
    ComparedByNameless,
    #[error("with auth = \"password\" Redis has no users to make")]
    ProvisioningOfNameless,
    #[error("a password of the database is used with auth = \"password\" alone")]
    PasswordOfDatabase,
}

impl CredentialCause {
    /// See [`super::Cause::id`].
    pub(super) fn id(&self) -> &'static str {
        match self {
            Self::Acl(_) => "acl",
            Self::NoProvisioning => "acl_without_provisioning",
            Self::BesideAcl => "beside_acl",
            Self::BadNamePart { .. } => "provisioning_name",
            Self::NoInstance => "no_instance",
            Self::TwoInstances => "two_instances",
            Self::SameInstance => "same_instance",
            Self::GivenAsMade { .. } => "given_as_made",
            Self::Seconds { .. } => "seconds",
            Self::NobodyProvisioned => "nobody_provisioned",
            Self::CommandBesidePassword => "second_password",
            Self::NoProgram | Self::UnknownProgram { .. } => "password_command",
            Self::RefreshWithoutCommand => "refresh_without_command",
            Self::OneRedisUser => "one_redis_user",
            Self::UserOfNameless => "user_of_nameless",
            Self::NoCommands => "no_commands",
            Self::ComparedByNameless => "compared_by_nameless",
            Self::ProvisioningOfNameless => "provisioning_of_nameless",
            Self::PasswordOfDatabase => "password_of_database",
        }
    }

    /// See [`super::Cause::way_out`].
    pub(super) fn way_out(&self) -> Option<String> {
        let text = match self {
            Self::Acl(_) => "write what the user may do, as in ACL SETUSER: acl = \"+@read ~app:*\"",
            Self::NoProvisioning => {
                "add [database.provisioning] with redis_user, redis_password_file and instance; or write redis_user"
            }
            Self::BesideAcl | Self::CommandBesidePassword => "remove one of the two",
            Self::SameInstance => "give each an instance of its own",
            Self::GivenAsMade { .. } => "call it otherwise at Redis, or change prefix or instance",
            Self::NoInstance | Self::TwoInstances => {
                "gateways that share a database need different ones: instance = \"a\", or instance_env = \"HOSTNAME\""
            }
            Self::NobodyProvisioned => {
                "add acl = \"+@read ~app:*\" to a [[user]] or a role, or remove the section"
            }
            Self::UnknownProgram { .. } => {
                "a name with a / in it starts at the directory of this file, another is looked up in PATH"
            }
            Self::OneRedisUser => "if Redis knows ACL users, remove auth and give each user a redis_user",
            Self::UserOfNameless | Self::ProvisioningOfNameless => "remove it",
            Self::NoCommands => "for example: commands = \"default\"",
            Self::ComparedByNameless => "make one: respgate hash",
            Self::PasswordOfDatabase => "add auth = \"password\", or move it to a [[user]]",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

impl From<CredentialCause> for Cause {
    fn from(cause: CredentialCause) -> Self {
        Self::Credential(cause)
    }
}
