//! The response gate: which upstream answers may be stored.

use crate::closed_enum::closed_enum;

closed_enum! {
    /// Why an answer of status 200 may not be stored, or not be delivered.
    pub enum GateReason {
        /// Not `application/json`.
        ContentType = "content_type",
        /// An encoded body, although `identity` was asked for.
        Encoded = "encoded",
        /// A `Set-Cookie` other than the edge's.
        SetCookie = "set_cookie",
        /// `Vary` names more than Accept-Encoding and Origin.
        Vary = "vary",
        /// The end of the body is the end of the connection: a cut could not be told.
        CloseDelimited = "close_delimited",
        /// The body ended early.
        Truncated = "truncated",
        /// Over the limit for its kind.
        TooLarge = "too_large",
        /// No JSON object, a byte order mark, or invalid UTF-8.
        NotJson = "not_json",
        /// A key twice in one object: parsers differ on which one counts.
        DuplicateKey = "duplicate_key",
        /// Nested deeper than 64 levels.
        TooDeep = "too_deep",
        /// Not the shape of a label or of a page of labels.
        Shape = "shape",
        /// A page without items.
        EmptyList = "empty_list",
        /// No organization is named.
        NoOrganization = "no_organization",
        /// More than one organization is named.
        MixedOrganizations = "mixed_organizations",
        /// The organization is not the one that `x-as-workspace` asked for.
        OtherWorkspace = "other_workspace",
        /// The id is not the one that was asked for: a mixed-up answer.
        OtherId = "other_id",
        /// The organization is not the credential's: a mixed-up answer, or a moved key.
        OtherOrganization = "other_organization",
    }
}
