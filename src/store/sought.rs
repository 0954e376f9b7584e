//! By what does a caller know its key? It gives the key, or lends a form of it, of which a key is made for
//! whoever is to load.
//!
//! So all loads go one way: looked up by the form, owned where a flight or a refresh begins, and nowhere else.

#![forbid(unsafe_code)]

use std::borrow::Cow;

use equivalent::Equivalent;

/// A key that is looked up, and loaded if it is missing.
pub(crate) trait Sought<K>: Sized {
    /// What it is looked up by.
    type Form: Equivalent<K> + ?Sized;

    fn form(&self) -> &Self::Form;

    /// The key itself. May run user code.
    fn own(self) -> K;

    /// A key that was owned and is not needed yet: it is not made a second time.
    fn back(key: K) -> Self;
}

/// The key itself.
pub(crate) struct Given<K>(pub(crate) K);

impl<K: Eq> Sought<K> for Given<K> {
    type Form = K;

    #[inline(always)]
    fn form(&self) -> &K {
        &self.0
    }

    #[inline(always)]
    fn own(self) -> K {
        self.0
    }

    #[inline(always)]
    fn back(key: K) -> Self {
        Self(key)
    }
}

/// A borrowed form of the key, or the key that was made of it.
pub(crate) struct Lent<'q, Q: ToOwned + ?Sized>(Cow<'q, Q>);

impl<'q, Q: ToOwned + ?Sized> Lent<'q, Q> {
    #[inline(always)]
    pub(crate) fn new(form: &'q Q) -> Self {
        Self(Cow::Borrowed(form))
    }
}

impl<K, Q: Equivalent<K> + ToOwned<Owned = K> + ?Sized> Sought<K> for Lent<'_, Q> {
    type Form = Q;

    #[inline(always)]
    fn form(&self) -> &Q {
        &self.0
    }

    #[inline]
    fn own(self) -> K {
        self.0.into_owned()
    }

    #[inline]
    fn back(key: K) -> Self {
        Self(Cow::Owned(key))
    }
}
