/// Declares a number with named values that keeps the ones it does not know.
///
/// Enumerated fields on the wire grow; a Rust `enum` would lose an unknown
/// value or refuse the message. The declared type is a tuple struct with
/// associated constants, `name()` and a `Debug`/`Display` that shows the
/// meaning where it is known and the number where it is not.
///
/// ```
/// smolsmc_wire::open_number! {
///     /// What a peer wants.
///     pub struct Wish: u8 {
///         /// Nothing at all.
///         NOTHING = 0 => "nothing",
///         /// The whole world.
///         WORLD = 1 => "the world",
///     }
/// }
/// assert_eq!(Wish::WORLD.name(), Some("the world"));
/// assert_eq!(Wish(7).name(), None);
/// assert_eq!(format!("{} {}", Wish::NOTHING, Wish(7)), "nothing 0x7");
/// ```
#[macro_export]
macro_rules! open_number {
    (
        $(#[$meta:meta])*
        $vis:vis struct $Type:ident: $int:ty {
            $( $(#[$value_meta:meta])* $NAME:ident = $value:expr => $text:expr, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $Type(pub $int);

        impl $Type {
            $( $(#[$value_meta])* $vis const $NAME: Self = Self($value); )*

            /// Every value with a name, in the order of its declaration.
            $vis const NAMED: &'static [Self] = &[$( Self::$NAME, )*];

            /// The meaning of this value in words, if it is one we know.
            #[must_use]
            $vis const fn name(self) -> Option<&'static str> {
                $( if self.0 == Self::$NAME.0 { return Some($text); } )*
                None
            }
        }

        impl core::fmt::Display for $Type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{:#x}", self.0),
                }
            }
        }

        impl core::fmt::Debug for $Type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{}({:#x} {})", stringify!($Type), self.0, name),
                    None => write!(f, "{}({:#x})", stringify!($Type), self.0),
                }
            }
        }
    };
}
