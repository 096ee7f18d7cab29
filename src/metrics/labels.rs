//! The values of labels that belong to metrics alone: closed sets, so that no request can add a series.

use crate::closed_enum::closed_enum;

closed_enum! {
    /// Why stored responses of an organization or of an id ceased to count.
    pub enum InvalidationCause {
        /// A label write whose fate is known, and whose answer named its own label and nothing else.
        LabelWrite = "label_write",
        /// Any other label write whose fate is known.
        Write = "write",
        /// A label write whose fate is unknown.
        UnknownWrite = "unknown_write",
        /// The upstream says that the label is gone.
        NotFound = "not_found",
        /// An answer showed who may see a label: what its organization shared is gone.
        AccessGrants = "access_grants",
        /// List items turned out to look unlike single reads.
        UnlikeItems = "unlike_items",
        /// An operator said so.
        Purge = "purge",
        /// Another replica of the fleet has told of a write, or it is not known what was told.
        Fleet = "fleet",
    }
}

closed_enum! {
    /// Why the store let a stored response go.
    pub enum EvictionCause {
        /// Space ran out.
        Size = "size",
        /// It could not be served any more.
        Expired = "expired",
    }
}

closed_enum! {
    /// What became of a failed read that might be tried again.
    pub enum RetryResult {
        /// Tried again, and answered.
        Answered = "answered",
        /// Tried again, and failed again.
        Failed = "failed",
        /// Not tried again: a tenth of the calls had been retried, or there was no budget.
        Refused = "refused",
    }
}

closed_enum! {
    /// What became of an attempt to read the configuration again.
    pub enum ReloadResult {
        /// It holds now.
        Applied = "applied",
        /// It has faults, and changed nothing.
        Refused = "refused",
    }
}

closed_enum! {
    /// Why a client was refused in its handshake.
    pub enum ClientRefusal {
        /// It showed no certificate, and needs one.
        Missing = "missing",
        /// Its certificate has expired, or is not valid yet.
        Expired = "expired",
        /// It is signed by nobody who is trusted.
        UnknownIssuer = "unknown_issuer",
        /// Its chain has constraints on names, which it breaks or which cannot be checked.
        NameConstraints = "name_constraints",
        /// Anything else is wrong with it.
        Other = "other",
    }
}

closed_enum! {
    /// What a certificate of ours is for.
    pub enum CertificateOf {
        /// `listen.tls.certificate`: callers see it.
        Listen = "listen",
        /// `upstream.client_certificate`: the API sees it.
        Upstream = "upstream",
    }
}

closed_enum! {
    /// A path of the admin listener: the `path` label.
    pub enum AdminPath {
        /// `/livez`
        Livez = "/livez",
        /// `/readyz`
        Readyz = "/readyz",
        /// `/metrics`
        Metrics = "/metrics",
        /// `/api/status`
        Status = "/api/status",
        /// `/api/purge`
        Purge = "/api/purge",
        /// `/api/explain`
        Explain = "/api/explain",
        /// `/`: the dashboard.
        Page = "/",
        /// `/page.css`
        PageStyle = "/page.css",
        /// `/page.js`
        PageScript = "/page.js",
        /// `/callers.js`
        CallersScript = "/callers.js",
        /// `/uPlot.min.css`
        ChartStyle = "/uPlot.min.css",
        /// `/uPlot.iife.min.js`
        ChartScript = "/uPlot.iife.min.js",
        /// Any other.
        Other = "other",
    }
}
