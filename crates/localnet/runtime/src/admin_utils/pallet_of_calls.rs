//! Generates the pallet from the table of calls: FRAME requires all calls of a pallet in one block.

/// Generates the pallet. Each row is
/// `INDEX: NAME(PARAMETERS) by AUTHORITY(ARGUMENTS) { CHANGES }`. The authority is a function of
/// the module `authority`; the changes run if the origin has that authority.
macro_rules! pallet_of_calls {
    ($(
        $(#[$doc:meta])*
        $index:literal: $name:ident($($argument:ident: $type:ty),*) by $authority:ident($($authority_argument:tt)*) { $($change:tt)* }
    )*) => {
        #[allow(
            missing_docs,
            unreachable_pub,
            clippy::expect_used,
            clippy::missing_errors_doc, // `authority` and `bounds` say what is refused.
            clippy::wildcard_imports
        )]
        #[frame_support::pallet]
        pub mod pallet {
            use super::*;

            /// The AdminUtils pallet.
            #[pallet::pallet]
            pub struct Pallet<T>(_);

            /// Configuration of the pallet.
            #[pallet::config]
            pub trait Config: frame_system::Config + subtensor::Config {}

            /// Events for changes without an event in the Subtensor pallet.
            #[pallet::event]
            #[pallet::generate_deposit(pub(super) fn deposit_event)]
            pub enum Event<T: Config> {
                /// Yuma 3 was enabled or disabled on a subnet.
                #[codec(index = 1)]
                Yuma3EnableToggled {
                    /// Netuid of the subnet.
                    netuid: NetUid,
                    /// Whether Yuma 3 is enabled.
                    enabled: bool,
                },
                /// Bond resets were enabled or disabled on a subnet.
                #[codec(index = 2)]
                BondsResetToggled {
                    /// Netuid of the subnet.
                    netuid: NetUid,
                    /// Whether bond resets are enabled.
                    enabled: bool,
                },
                /// The half-life of a subnet's registration price changed.
                #[codec(index = 3)]
                BurnHalfLifeSet {
                    /// Netuid of the subnet.
                    netuid: NetUid,
                    /// The new half-life, in blocks.
                    burn_half_life: u16,
                },
                /// The factor by which a registration raises a subnet's registration price changed.
                #[codec(index = 4)]
                BurnIncreaseMultSet {
                    /// Netuid of the subnet.
                    netuid: NetUid,
                    /// The new factor.
                    burn_increase_mult: U64F64,
                },
                /// TAO emission to a subnet was enabled or disabled.
                #[codec(index = 5)]
                SubnetEmissionEnabledSet {
                    /// Netuid of the subnet.
                    netuid: NetUid,
                    /// Whether the subnet receives TAO emission.
                    enabled: bool,
                },
                /// The part of a subnet's registration price that is locked as collateral changed.
                #[codec(index = 6)]
                CollateralLockShareSet {
                    /// Netuid of the subnet.
                    netuid: NetUid,
                    /// The new part, in parts of 65 535.
                    lock_share: u16,
                },
                /// The drain ratio of a subnet's collateral changed.
                #[codec(index = 7)]
                CollateralDrainRatioSet {
                    /// Netuid of the subnet.
                    netuid: NetUid,
                    /// The new ratio: alpha released per alpha of emission.
                    drain_ratio: U64F64,
                },
            }

            /// Errors of the pallet's calls.
            #[pallet::error]
            pub enum Error<T> {
                /// The subnet does not exist, check the netuid parameter
                #[codec(index = 0)]
                SubnetDoesNotExist,
                /// The maximum number of subnet validators must be less than the maximum number of allowed UIDs in the subnet.
                #[codec(index = 1)]
                MaxValidatorsLargerThanMaxUIds,
                /// The maximum number of subnet validators must be more than the current number of UIDs already in the subnet.
                #[codec(index = 2)]
                MaxAllowedUIdsLessThanCurrentUIds,
                /// The maximum value for bonds moving average is reached
                #[codec(index = 3)]
                BondsMovingAverageMaxReached,
                /// Only root can set negative sigmoid steepness values
                #[codec(index = 4)]
                NegativeSigmoidSteepness,
                /// Value not in allowed bounds.
                #[codec(index = 5)]
                ValueNotInBounds,
                /// The minimum allowed UIDs must be less than the current number of UIDs in the subnet.
                #[codec(index = 6)]
                MinAllowedUidsGreaterThanCurrentUids,
                /// The minimum allowed UIDs must be less than the maximum allowed UIDs.
                #[codec(index = 7)]
                MinAllowedUidsGreaterThanMaxAllowedUids,
                /// The maximum allowed UIDs must be greater than the minimum allowed UIDs.
                #[codec(index = 8)]
                MaxAllowedUidsLessThanMinAllowedUids,
                /// The maximum allowed UIDs must be less than the default maximum allowed UIDs.
                #[codec(index = 9)]
                MaxAllowedUidsGreaterThanDefaultMaxAllowedUids,
                /// Bad parameter value
                #[codec(index = 10)]
                InvalidValue,
                /// Operation is not permitted on the root network.
                #[codec(index = 11)]
                NotPermittedOnRootSubnet,
                /// POW Registration has been deprecated
                #[codec(index = 12)]
                POWRegistrationDisabled,
                /// Call is deprecated
                #[codec(index = 13)]
                Deprecated,
                /// The collateral lock share exceeds the settable maximum (95% of the registration price).
                #[codec(index = 14)]
                CollateralLockShareTooHigh,
                /// The collateral drain ratio must be positive and at most the settable maximum.
                #[codec(index = 15)]
                CollateralDrainRatioOutOfBounds,
                /// GRANDPA changes must take effect at the end of the current block.
                #[codec(index = 16)]
                GrandpaChangeDelayMustBeZero,
            }

            #[pallet::call]
            impl<T: Config> Pallet<T> {
                $(
                    $(#[$doc])*
                    #[pallet::call_index($index)]
                    #[pallet::weight((call_weights::$name(), dispatch_class($index), Pays::Yes))]
                    pub fn $name(origin: OriginFor<T>, $($argument: $type),*) -> DispatchResult {
                        $authority($($authority_argument)*).execute_change::<T>(origin, || {
                            $($change)*
                            Ok(())
                        })
                    }
                )*
            }
        }
    };
}
