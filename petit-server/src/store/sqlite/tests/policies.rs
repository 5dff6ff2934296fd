//! Policies and visitors' keys on a real file.

use petit_engine::name::VisitorKeyId;

use super::*;

#[tokio::test]
async fn policies_and_keys_are_there_again_as_they_were() {
    let bed = Bed::new().await;
    let operator = Actor::Operator;
    let (name, other): (VisitorKeyName, VisitorKeyName) =
        ("billing".parse().unwrap(), "gone".parse().unwrap());
    for name in [&name, &other] {
        let key = NewKey { id: VisitorKeyId::random().unwrap(), name: name.clone(), hash: KeyHash([1; 32]) };
        bed.store.create_key(key, operator).await.unwrap();
    }
    let hour = Duration::from_secs(3600);
    bed.store.rotate_key(name.clone(), KeyHash([2; 32]), hour, operator).await.unwrap();
    let edit = PolicyEdit {
        name: "cloud".parse().unwrap(),
        services: Some(vec![PolicyTarget::Default, "acme".parse().unwrap()]),
        from: Edit::To(vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()]),
        keys: Edit::To(vec![name, other.clone()]),
        rate: Edit::To(100.try_into().unwrap()),
        burst: Edit::To(200.try_into().unwrap()),
        concurrent: Edit::To(50.try_into().unwrap()),
        max_body: Edit::To(1 << 40),
        per: Some(LimitPer::Service),
        enforcement: Some(Enforcement::CountOnly),
    };
    let (policy, delta) = bed.store.set_policy(edit, Arc::default(), operator).await.unwrap();
    let bare = PolicyEdit {
        services: Some(vec!["other".parse().unwrap()]),
        ..PolicyEdit::of("bare".parse().unwrap())
    };
    let (bare, _) = bed.store.set_policy(bare, Arc::default(), operator).await.unwrap();
    assert_eq!(delta.added.visitors.as_ref().unwrap().policies, std::slice::from_ref(&policy));
    bed.store.revoke_key(other, operator).await.unwrap();
    let keys = bed.store.visitor_rules().await.unwrap().keys;
    assert!(keys[0].previous.is_some() && keys[0].rotated.is_some() && keys[1].revoked.is_some());
    let bed = bed.reopened().await;
    let rules = bed.store.load().await.unwrap().visitors.unwrap();
    assert_eq!(rules, VisitorRules { policies: vec![bare.clone(), policy], keys });
    assert_eq!(bed.store.visitor_rules().await.unwrap(), rules);
    bed.store.remove_policy("cloud".parse().unwrap(), operator).await.unwrap();
    let bed = bed.reopened().await;
    assert_eq!(bed.store.visitor_rules().await.unwrap().policies, [bare]);
}

#[tokio::test]
async fn a_revoked_key_leaves_no_hash_behind() {
    let bed = Bed::new().await;
    let hash = KeyHash([1; 32]);
    let name: VisitorKeyName = "billing".parse().unwrap();
    let key = NewKey { id: VisitorKeyId::random().unwrap(), name: name.clone(), hash };
    bed.store.create_key(key, Actor::Operator).await.unwrap();
    let kept = || async {
        let mut held = bed.store.writer.lock().await;
        let sql = "SELECT count(*) FROM visitor_keys WHERE hash IS NOT NULL OR previous_hash IS NOT NULL";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(held.as_mut().unwrap()).await.unwrap()
    };
    assert_eq!(kept().await, 1);
    bed.store
        .rotate_key(name.clone(), KeyHash([2; 32]), Duration::from_secs(60), Actor::Operator)
        .await
        .unwrap();
    bed.store.revoke_key(name, Actor::Operator).await.unwrap();
    assert_eq!(kept().await, 0);
}
