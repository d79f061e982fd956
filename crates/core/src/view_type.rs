//! What a stream's records hold: the `StreamViewType` of the API, of stored rows and of templates.

/// `StreamViewType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ViewType {
    /// Keys.
    KeysOnly,
    /// Keys and the item after.
    NewImage,
    /// Keys and the item before.
    OldImage,
    /// Keys and both images.
    NewAndOldImages,
}

impl ViewType {
    /// All of them.
    pub const ALL: [ViewType; 4] =
        [ViewType::KeysOnly, ViewType::NewImage, ViewType::OldImage, ViewType::NewAndOldImages];

    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            ViewType::KeysOnly => "KEYS_ONLY",
            ViewType::NewImage => "NEW_IMAGE",
            ViewType::OldImage => "OLD_IMAGE",
            ViewType::NewAndOldImages => "NEW_AND_OLD_IMAGES",
        }
    }

    /// Reads a name.
    pub fn parse(text: &str) -> Option<ViewType> {
        ViewType::ALL.into_iter().find(|view| view.name() == text)
    }

    /// Whether records hold the item before.
    pub fn has_old(self) -> bool {
        matches!(self, ViewType::OldImage | ViewType::NewAndOldImages)
    }

    /// Whether records hold the item after.
    pub fn has_new(self) -> bool {
        matches!(self, ViewType::NewImage | ViewType::NewAndOldImages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_everywhere() {
        for view in ViewType::ALL {
            assert_eq!(ViewType::parse(view.name()), Some(view));
            assert_eq!(serde_json::to_string(&view).unwrap(), format!("\"{}\"", view.name()));
        }
        assert_eq!(ViewType::parse("new_image"), None);
    }
}
