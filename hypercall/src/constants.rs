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

/// Declares a transparent flag word with named flags, kept with the bits that nobody has named yet.
///
/// The same shape as [`constants!`], on top of `bitflags`, whose own struct form cannot carry zerocopy's
/// derives. Unknown bits survive every operation: the other side may be newer than this list.
macro_rules! flags {
    (
        $(#[$meta:meta])*
        pub struct $name:ident: $int:ty {
            $( $(#[$flag_meta:ident $($flag_args:tt)*])* $flag:ident = $value:expr; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, Hash,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name($int);

        bitflags::bitflags! {
            impl $name: $int {
                $( $(#[$flag_meta $($flag_args)*])* const $flag = $value; )*
                const _ = !0;
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                bitflags::parser::to_writer(self, &mut *f)?;
                f.write_str(")")
            }
        }
    };
}
