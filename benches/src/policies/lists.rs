//! Who comes after whom? Doubly linked lists over the numbers of keys, in one array.
//!
//! A key is in at most one of the lists; nothing is allocated after the start, and every
//! operation takes the same time however long the lists are.

/// The list of a key that is in none.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Link {
    front: u32,
    back: u32,
    list: u32,
}

/// Several lists. Behind the keys' links stands one anchor a list, which closes it to a ring.
pub struct Lists {
    links: Vec<Link>,
    lengths: Vec<usize>,
    keys: usize,
}

impl Lists {
    /// `lists` empty lists for ids below `keys`.
    pub fn new(keys: usize, lists: usize) -> Self {
        let mut links = vec![Link { front: 0, back: 0, list: NONE }; keys];
        links.extend((keys..keys + lists).map(|anchor| {
            let anchor = anchor as u32;
            Link { front: anchor, back: anchor, list: NONE }
        }));
        Self { links, lengths: vec![0; lists], keys }
    }

    /// The list that `id` is in.
    pub fn list_of(&self, id: u32) -> Option<usize> {
        let list = self.links[id as usize].list;
        (list != NONE).then_some(list as usize)
    }

    pub fn len(&self, list: usize) -> usize {
        self.lengths[list]
    }

    pub fn back(&self, list: usize) -> Option<u32> {
        self.in_front_of(self.anchor(list))
    }

    /// The neighbour of `id` on the way to the front.
    pub fn in_front_of(&self, id: u32) -> Option<u32> {
        let front = self.links[id as usize].front;
        ((front as usize) < self.keys).then_some(front)
    }

    /// Puts `id`, which may be in another list or in this one, at the front of `list`.
    pub fn move_to_front(&mut self, list: usize, id: u32) {
        self.remove(id);
        let anchor = self.anchor(list);
        let first = self.links[anchor as usize].back;
        self.links[id as usize] = Link { front: anchor, back: first, list: list as u32 };
        self.links[anchor as usize].back = id;
        self.links[first as usize].front = id;
        self.lengths[list] += 1;
    }

    /// Takes `id` out of its list, if it is in one.
    pub fn remove(&mut self, id: u32) {
        let Link { front, back, list } = self.links[id as usize];
        if list == NONE {
            return;
        }
        self.links[front as usize].back = back;
        self.links[back as usize].front = front;
        self.links[id as usize].list = NONE;
        self.lengths[list as usize] -= 1;
    }

    pub fn pop_back(&mut self, list: usize) -> Option<u32> {
        let id = self.back(list)?;
        self.remove(id);
        Some(id)
    }

    fn anchor(&self, list: usize) -> u32 {
        (self.keys + list) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_move_within_and_between_lists() {
        let mut lists = Lists::new(4, 2);
        (0..4).for_each(|id| lists.move_to_front(0, id));
        assert_eq!((lists.len(0), lists.back(0), lists.in_front_of(0)), (4, Some(0), Some(1)));
        lists.move_to_front(0, 0);
        lists.move_to_front(1, 2);
        // Front to back: 0 3 1, and 2 alone.
        assert_eq!((lists.len(0), lists.len(1)), (3, 1));
        assert_eq!((lists.list_of(2), lists.list_of(3)), (Some(1), Some(0)));
        assert_eq!([1, 3, 0].map(Some), [(); 3].map(|()| lists.pop_back(0)));
        assert_eq!((lists.pop_back(0), lists.list_of(0)), (None, None));
        lists.remove(0);
        assert_eq!((lists.back(1), lists.in_front_of(2)), (Some(2), None));
    }
}
