//! Generates the pallet from the table of calls: FRAME requires all calls of a pallet in one block.

/// Generates the pallet. Each row is `INDEX: NAME(ARGUMENTS) by AUTHORITY(SUBNET) { CHANGES }`. The authority is a
/// function of the module `authority`; the changes run if the origin has that authority.
macro_rules! pallet_of_calls {
    ($(
        $(#[$doc:meta])*
        $index:literal: $name:ident($($argument:ident: $type:ty),*) by $authority:ident($($of:tt)*) { $($change:tt)* }
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
                /// The subnet does not exist.
                #[codec(index = 0)]
                SubnetDoesNotExist,
                /// The maximum number of validators exceeds the maximum number of neurons.
                #[codec(index = 1)]
                MaxValidatorsLargerThanMaxUIds,
                /// The subnet already has more neurons than the new maximum: trim it first.
                #[codec(index = 2)]
                MaxAllowedUIdsLessThanCurrentUIds,
                /// The weight of old bonds in their moving average exceeds 975 000 millionths, the maximum for an
                /// owner.
                #[codec(index = 3)]
                BondsMovingAverageMaxReached,
                /// The steepness is negative: only root may set a negative steepness.
                #[codec(index = 4)]
                NegativeSigmoidSteepness,
                /// The value is out of bounds.
                #[codec(index = 5)]
                ValueNotInBounds,
                /// The new minimum is not below the current number of neurons.
                #[codec(index = 6)]
                MinAllowedUidsGreaterThanCurrentUids,
                /// The new minimum is not below the maximum number of neurons.
                #[codec(index = 7)]
                MinAllowedUidsGreaterThanMaxAllowedUids,
                /// The new maximum is below the minimum number of neurons.
                #[codec(index = 8)]
                MaxAllowedUidsLessThanMinAllowedUids,
                /// The new maximum exceeds 256 neurons.
                #[codec(index = 9)]
                MaxAllowedUidsGreaterThanDefaultMaxAllowedUids,
                /// The value is out of bounds.
                #[codec(index = 10)]
                InvalidValue,
                /// The setting does not exist on the root subnet.
                #[codec(index = 11)]
                NotPermittedOnRootSubnet,
                /// Proof-of-work registration is disabled.
                #[codec(index = 12)]
                POWRegistrationDisabled,
                /// The setting is deprecated: its value is derived from other settings.
                #[codec(index = 13)]
                Deprecated,
                /// The locked share of collateral exceeds the maximum.
                #[codec(index = 14)]
                CollateralLockShareTooHigh,
                /// The drain ratio of collateral is out of bounds.
                #[codec(index = 15)]
                CollateralDrainRatioOutOfBounds,
                /// A change of the GRANDPA authorities must have no delay.
                #[codec(index = 16)]
                GrandpaChangeDelayMustBeZero,
            }

            #[pallet::call]
            impl<T: Config> Pallet<T> {
                $(
                    $(#[$doc])*
                    #[pallet::call_index($index)]
                    #[pallet::weight((call_weights::$name(), class($index), Pays::Yes))]
                    pub fn $name(origin: OriginFor<T>, $($argument: $type),*) -> DispatchResult {
                        $authority($($of)*).carry_out::<T>(origin, || {
                            $($change)*
                            Ok(())
                        })
                    }
                )*
            }
        }
    };
}
