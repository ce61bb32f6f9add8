//! Decodes the newtypes from SCALE bytes according to the types in the chain's metadata.

use std::marker::PhantomData;

use scale_decode::visitor::{DecodeAsTypeResult, decode_with_visitor};
use scale_decode::{Error, IntoVisitor, TypeResolver, Visitor};

use crate::{AccountId, Alpha, BlockHash, BlockNumber, Coldkey, Hotkey, MechId, NetUid, Rao, Uid};

/// Implements decoding of a newtype as its inner value, even if the chain's type is a newtype too.
macro_rules! impl_decode_as_inner {
    ($($name:ident: $inner:ty, $wrap:expr;)*) => {$(
        const _: () = {
            /// A visitor that decodes one value.
            #[derive(Debug)]
            pub struct NewtypeVisitor<R>(PhantomData<R>);

            impl<R: TypeResolver> Visitor for NewtypeVisitor<R> {
                type Error = Error;
                type Value<'scale, 'resolver> = $name;
                type TypeResolver = R;

                fn unchecked_decode_as_type(
                    self,
                    input: &mut &[u8],
                    type_id: R::TypeId,
                    types: &R,
                ) -> DecodeAsTypeResult<Self, Result<$name, Error>> {
                    let inner = decode_with_visitor(input, type_id, types, <$inner>::into_visitor::<R>());
                    DecodeAsTypeResult::Decoded(inner.map($wrap))
                }
            }

            impl IntoVisitor for $name {
                type AnyVisitor<R: TypeResolver> = NewtypeVisitor<R>;

                fn into_visitor<R: TypeResolver>() -> NewtypeVisitor<R> {
                    NewtypeVisitor(PhantomData)
                }
            }
        };
    )*};
}

impl_decode_as_inner! {
    AccountId: [u8; 32], AccountId::from_bytes;
    Alpha: u64, Alpha::new;
    BlockHash: [u8; 32], BlockHash::from_bytes;
    BlockNumber: u32, BlockNumber::new;
    Coldkey: [u8; 32], Coldkey::from_bytes;
    Hotkey: [u8; 32], Hotkey::from_bytes;
    MechId: u8, MechId;
    NetUid: u16, NetUid;
    Rao: u64, Rao::new;
    Uid: u16, Uid;
}
