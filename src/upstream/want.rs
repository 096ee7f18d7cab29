//! Whether a failure is this machine's want rather than the upstream's fault: no descriptor, port, buffer or memory is left
//! for a connection. What is counted against the upstream must not count these: nobody has asked it anything.

use std::error::Error;
use std::fs::File;
use std::io;

use rustix::io::Errno;

use super::cause;

/// Of a process's and the system's open files, of local ports (`EADDRNOTAVAIL`), of buffers of sockets and of memory.
const WANTS: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM];

/// Whether this error, or one that brought it about, is such a want.
#[must_use]
pub(super) fn is_want_of_our_own(error: &(dyn Error + 'static)) -> bool {
    cause::is_among(error, &|cause| cause.downcast_ref().is_some_and(is_want))
}

fn is_want(error: &io::Error) -> bool {
    let is_one = |code| WANTS.iter().any(|want| want.raw_os_error() == code);
    error.raw_os_error().is_some_and(is_one)
        || matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::AddrNotAvailable)
}

/// The reason why a name was not found: glibc's answer to a process's first look-up without a free descriptor is that the name
/// is unknown (`findings/glibc-getaddrinfo-without-descriptors.sh`).
#[must_use]
pub(super) fn behind_look_up(error: io::Error) -> io::Error {
    match File::open("/dev/null") {
        Err(want) if is_want(&want) => want,
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn system(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn what_runs_out_here_is_told_from_what_fails_there() {
        let wants = WANTS.map(system);
        let others = [
            Errno::CONNREFUSED,
            Errno::CONNRESET,
            Errno::HOSTUNREACH,
            Errno::NETUNREACH,
            Errno::TIMEDOUT,
            Errno::ACCESS,
        ]
        .map(system);
        let invented = [io::ErrorKind::OutOfMemory.into(), io::ErrorKind::AddrNotAvailable.into()];
        for want in wants.iter().chain(&invented) {
            assert!(is_want_of_our_own(want), "{want}");
        }
        for other in others.iter().chain(&[io::ErrorKind::UnexpectedEof.into()]) {
            assert!(!is_want_of_our_own(other), "{other}");
        }
    }

    #[test]
    fn a_want_is_found_however_deep_it_lies() {
        for (errno, expected) in [(Errno::MFILE, true), (Errno::CONNREFUSED, false)] {
            let carried = io::Error::other(system(errno));
            let below = ErrorKind::ConnectFailed
                .error()
                .because(io::Error::other(ErrorKind::ConnectFailed.error().because(carried)));
            assert_eq!(is_want_of_our_own(&below), expected, "{errno}");
        }
    }

    #[test]
    fn a_name_that_is_not_known_stays_so_while_files_can_be_opened() {
        let error = behind_look_up(io::Error::other("no such name"));
        assert_eq!(error.to_string(), "no such name");
    }
}
