//! Integer newtypes for values that cross the ABI.

/// Declares a transparent integer newtype with named constants.
///
/// A wire value is never a Rust enum: a number that Xen, or a peer, makes up tomorrow is a value and not
/// undefined behaviour. `Debug` prints the constant's name, or the bare number of an unknown value.
///
/// The last line of each doc comment names the C original, which is what the comparison with Xen's own
/// headers (`tests/abi`) reads.
macro_rules! constants {
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $int:ty {
            $( $(#[$constant_meta:meta])* $constant:ident = $value:expr; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name(pub $int);

        impl $name {
            $( $(#[$constant_meta])* pub const $constant: Self = Self($value); )*

            /// The constant's name, where the value is a known one.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                $( if self.0 == Self::$constant.0 { return Some(stringify!($constant)); } )*
                None
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($name), "({:#x})"), self.0),
                }
            }
        }
    };
}
