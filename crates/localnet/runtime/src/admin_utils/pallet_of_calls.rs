//! Makes the pallet of the table of its calls: the framework wants all calls of a pallet written out in one block.

/// Each row is `INDEX: NAME(ARGUMENTS) by AUTHORITY(OF WHAT) { CHANGES }`. The authority is one of the functions of
/// `authority`; the changes run once it is granted.
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

            /// The pallet.
            #[pallet::pallet]
            pub struct Pallet<T>(_);

            /// What the pallet needs of the chain.
            #[pallet::config]
            pub trait Config: frame_system::Config + subtensor::Config {}

            /// What was changed, where the pallet of subnets does not say so.
            #[pallet::event]
            #[pallet::generate_deposit(pub(super) fn deposit_event)]
            pub enum Event<T: Config> {
                /// Yuma 3 was switched.
                #[codec(index = 1)]
                Yuma3EnableToggled {
                    /// The subnet.
                    netuid: NetUid,
                    /// Whether bonds follow it now.
                    enabled: bool,
                },
                /// Forgetting of bonds was switched.
                #[codec(index = 2)]
                BondsResetToggled {
                    /// The subnet.
                    netuid: NetUid,
                    /// Whether neurons may ask for it now.
                    enabled: bool,
                },
                /// The half-life of the registration price changed.
                #[codec(index = 3)]
                BurnHalfLifeSet {
                    /// The subnet.
                    netuid: NetUid,
                    /// Its new half-life, in blocks.
                    burn_half_life: u16,
                },
                /// The rise of the registration price changed.
                #[codec(index = 4)]
                BurnIncreaseMultSet {
                    /// The subnet.
                    netuid: NetUid,
                    /// The new factor.
                    burn_increase_mult: U64F64,
                },
                /// A subnet's part in the block emission was switched.
                #[codec(index = 5)]
                SubnetEmissionEnabledSet {
                    /// The subnet.
                    netuid: NetUid,
                    /// Whether it receives TAO now.
                    enabled: bool,
                },
            }

            /// Why a call was refused.
            #[pallet::error]
            pub enum Error<T> {
                /// There is no such subnet.
                #[codec(index = 0)]
                SubnetDoesNotExist,
                /// There cannot be more validators than neurons.
                #[codec(index = 1)]
                MaxValidatorsLargerThanMaxUIds,
                /// The subnet has more neurons already: trim it first.
                #[codec(index = 2)]
                MaxAllowedUIdsLessThanCurrentUIds,
                /// An owner may set the moving average of bonds to at most 975 000.
                #[codec(index = 3)]
                BondsMovingAverageMaxReached,
                /// An owner may not set a negative steepness.
                #[codec(index = 4)]
                NegativeSigmoidSteepness,
                /// The value is out of its bounds.
                #[codec(index = 5)]
                ValueNotInBounds,
                /// The subnet has fewer neurons.
                #[codec(index = 6)]
                MinAllowedUidsGreaterThanCurrentUids,
                /// The subnet has room for fewer neurons.
                #[codec(index = 7)]
                MinAllowedUidsGreaterThanMaxAllowedUids,
                /// The subnet must have room for more neurons.
                #[codec(index = 8)]
                MaxAllowedUidsLessThanMinAllowedUids,
                /// A subnet has room for at most 256 neurons.
                #[codec(index = 9)]
                MaxAllowedUidsGreaterThanDefaultMaxAllowedUids,
                /// The value is out of its bounds.
                #[codec(index = 10)]
                InvalidValue,
                /// Root has no such setting.
                #[codec(index = 11)]
                NotPermittedOnRootSubnet,
                /// Neurons no longer register by work.
                #[codec(index = 12)]
                POWRegistrationDisabled,
                /// This setting is derived from others now.
                #[codec(index = 13)]
                Deprecated,
                /// The locked share is above the largest one.
                #[codec(index = 14)]
                CollateralLockShareTooHigh,
                /// The drain of collateral is outside its bounds.
                #[codec(index = 15)]
                CollateralDrainRatioOutOfBounds,
                /// A change of the finality authorities has no delay.
                #[codec(index = 16)]
                GrandpaChangeDelayMustBeZero,
            }

            #[pallet::call]
            impl<T: Config> Pallet<T> {
                $(
                    $(#[$doc])*
                    #[pallet::call_index($index)]
                    #[pallet::weight((subtensor::call_weight(), class($index), Pays::Yes))]
                    pub fn $name(origin: OriginFor<T>, $($argument: $type),*) -> DispatchResult {
                        $authority::<T>($($of)*).carry_out(origin, || {
                            $($change)*
                            Ok(())
                        })
                    }
                )*
            }
        }
    };
}
