//! Proof of work for registrations: the search for a nonce whose seal meets a subnet's difficulty.
//!
//! A [`Searcher`] tries the nonces of a [`Work`] in order, on processor cores or on an OpenCL
//! device such as a graphics card, until one meets the difficulty or the deadline passes. Nonces
//! from an OpenCL device are verified on the processor.
//!
//! The OpenCL library of the graphics driver is loaded at run time. The cargo feature `opencl`
//! enables it; without the feature, [`Searcher::open`] returns an error for OpenCL devices. The
//! module `opencl::library`, which calls the library, has all `unsafe` code of this crate.
//!
//! Uses `taonet-primitives`. Used by the `tao register` command.
//!
//! # Example
//!
//! ```
//! use std::num::NonZeroUsize;
//! use std::sync::atomic::AtomicU64;
//! use std::time::{Duration, Instant};
//!
//! use taonet_pow::{Device, Searcher, Work};
//! use taonet_primitives::{BlockHash, Coldkey, Hotkey, NetUid};
//!
//! let work = Work {
//!     netuid: NetUid(59),
//!     block: BlockHash::from_bytes([1; 32]),
//!     hotkey: Hotkey::from_bytes([2; 32]),
//!     coldkey: Coldkey::from_bytes([3; 32]),
//!     difficulty: 100,
//! };
//! let mut searcher = Searcher::open(Device::Cpu, NonZeroUsize::MIN)?;
//! let deadline = Instant::now() + Duration::from_mins(1);
//! let solution = searcher.search(&work, 0, deadline, &AtomicU64::new(0))?.expect("a low difficulty");
//! assert_eq!(work.verify(solution.nonce), Some(solution));
//! # Ok::<(), taonet_pow::PowError>(())
//! ```

mod device;
mod error;
#[cfg(feature = "opencl")]
mod opencl;
mod work;

pub use device::{Device, Searcher, UnknownDevice};
pub use error::PowError;
pub use work::{Solution, Work};
