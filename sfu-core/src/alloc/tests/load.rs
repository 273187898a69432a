//! What an overloaded worker takes away.

use super::*;

#[test]
fn load_takes_the_best_pictures_first_and_says_so() {
    for (cut, expected, limit) in [
        (Cut::None, Some(2), Limit::None),
        (Cut::Medium, Some(1), Limit::Overload),
        (Cut::Low, Some(0), Limit::Overload),
        (Cut::All, None, Limit::Overload),
    ] {
        let mut video = camera();
        video.request.cut = cut;
        let decision = share(&[video.clone()], None).0[0];
        assert_eq!((encoding(&decision), decision.limit), (expected, limit), "{cut:?}");
        let shown = share(&[shown(video.clone(), 320, 180)], None).0[0];
        assert_eq!(shown.limit, if cut == Cut::All { Limit::Overload } else { Limit::Size }, "{cut:?}");
        let of = |video: &Video| ladder::cost(&video.request.settings, cut, &video.offers).0;
        assert!(of(&video) >= decision.bitrate.0);
        video.request.settings.visible = false;
        assert_eq!(share(&[video], None).0[0].limit, Limit::Hidden, "the reason that lasts longest");
    }
    let mut whole = camera();
    whole.offers.truncate(1);
    whole.request.cut = Cut::Low;
    assert_eq!(share(&[whole], None).0[0].limit, Limit::None, "there is nothing to take but all");
}
