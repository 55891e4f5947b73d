package web

// germanInstructions holds the German texts of the instructions for the products of receivers.
var germanInstructions = []translation{
	{
		"Add the certificates of the new CA to a new version of the trust store, and wait until the custom domain uses " +
			"the new version. If a Lambda authorizer compares serial numbers, add the new one, and remove those of revoked " +
			"certificates.",
		"Fügen Sie die Zertifikate der neuen CA einer neuen Version des Truststores hinzu, und warten Sie, bis die " +
			"benutzerdefinierte Domain die neue Version verwendet. Vergleicht ein Lambda-Authorizer Seriennummern, fügen " +
			"Sie die neue hinzu, und entfernen Sie die der widerrufenen Zertifikate.",
	},
	{
		"Add the certificates of the new CA to the file in caFiles.",
		"Fügen Sie die Zertifikate der neuen CA der Datei in caFiles hinzu.",
	},
	{
		"Add the new subject to the regular expression of the client's X.509 authenticator, and remove the old one if only " +
			"revoked certificates have it. If a certificate was uploaded, upload the new one under Credentials.",
		"Fügen Sie das neue Subject dem regulären Ausdruck des X.509-Authenticators des Clients hinzu, und entfernen Sie " +
			"das alte, wenn nur widerrufene Zertifikate es haben. Wurde ein Zertifikat hochgeladen, laden Sie das neue " +
			"unter Credentials hoch.",
	},
	{
		"Nothing to do for the custom domain: its trust store holds CAs, and the CA stays the same. If a Lambda " +
			"authorizer compares serial numbers, add the new one, and remove those of revoked certificates.",
		"Für die benutzerdefinierte Domain ist nichts zu tun: Ihr Truststore enthält CAs, und die CA bleibt gleich. " +
			"Vergleicht ein Lambda-Authorizer Seriennummern, fügen Sie die neue hinzu, und entfernen Sie die der " +
			"widerrufenen Zertifikate.",
	},
	{
		"The service key accepts only newer certificates with the same subject and issuer. In the instance of Process " +
			"Integration Runtime (plan integration-flow), create a service key of the type External Certificate with the " +
			"new certificate, and delete those of revoked certificates. The load balancer must trust the CA: SAP Note " +
			"2801396 lists the CAs.",
		"Der Service-Key akzeptiert nur neuere Zertifikate mit demselben Subject und Aussteller. Legen Sie in der Instanz " +
			"der Process Integration Runtime (Plan integration-flow) einen Service-Key vom Typ External Certificate mit " +
			"dem neuen Zertifikat an, und löschen Sie die der widerrufenen Zertifikate. Der Load Balancer muss der CA " +
			"vertrauen: SAP-Hinweis 2801396 nennt die CAs.",
	},
	{
		"The subject alternative name changes with this renewal. If a rule compares it, add the new name to the rule, and " +
			"remove the old one if only revoked certificates have it.",
		"Der alternative Name (SAN) ändert sich mit dieser Erneuerung. Ergänzen Sie eine Regel, die ihn vergleicht, um den " +
			"neuen Namen, und entfernen Sie den alten, wenn nur widerrufene Zertifikate ihn haben.",
	},
	{
		"The subject changes with this renewal. If a rule compares it, add the new subject to the rule, and remove the old " +
			"one if only revoked certificates have it.",
		"Das Subject ändert sich mit dieser Erneuerung. Ergänzen Sie eine Regel, die es vergleicht, um das neue Subject, " +
			"und entfernen Sie das alte, wenn nur widerrufene Zertifikate es haben.",
	},
	{
		"A certificate belongs to exactly one service key. In the instance of Process Integration Runtime (plan " +
			"integration-flow), create a service key of the type External Certificate with the new certificate, and delete " +
			"those of revoked certificates. The load balancer must trust the CA: SAP Note 2801396 lists the CAs.",
		"Ein Zertifikat gehört zu genau einem Service-Key. Legen Sie in der Instanz der Process Integration Runtime (Plan " +
			"integration-flow) einen Service-Key vom Typ External Certificate mit dem neuen Zertifikat an, und löschen Sie " +
			"die der widerrufenen Zertifikate. Der Load Balancer muss der CA vertrauen: SAP-Hinweis 2801396 nennt die CAs.",
	},
	{
		"A rule that compares only the subject or the CA accepts a revoked certificate until your system reads the " +
			"revocation list of the CA.",
		"Eine Regel, die nur das Subject oder die CA vergleicht, akzeptiert ein widerrufenes Zertifikat, bis Ihr System " +
			"die Sperrliste der CA liest.",
	},
	{
		"Add the new certificate (.cer) under Certificates, and delete revoked ones. In the policy, compare with a list of " +
			"thumbprints without theirs.",
		"Fügen Sie das neue Zertifikat (.cer) unter Certificates hinzu, und löschen Sie widerrufene. Vergleichen Sie in " +
			"der Richtlinie mit einer Liste von Fingerabdrücken (Thumbprints) ohne deren.",
	},
	{
		"Add the new line, remove those of revoked certificates, and reload.",
		"Fügen Sie die neue Zeile hinzu, entfernen Sie die der widerrufenen Zertifikate, und laden Sie die Konfiguration " +
			"neu.",
	},
	{
		"Append the new fingerprint to the list, and remove those of revoked certificates, in the file and at run time.",
		"Fügen Sie den neuen Fingerabdruck der Liste hinzu, und entfernen Sie die der widerrufenen Zertifikate, in der " +
			"Datei und zur Laufzeit.",
	},
	{
		"Caddy can trust single certificates. Add the line of the new file (PEM), remove those of revoked certificates, " +
			"and reload.",
		"Caddy kann einzelnen Zertifikaten vertrauen. Fügen Sie die Zeile der neuen Datei (PEM) hinzu, entfernen Sie die " +
			"der widerrufenen Zertifikate, und laden Sie die Konfiguration neu.",
	},
	{
		"Envoy accepts any of the hashes. Add the new one to the list, and remove those of revoked certificates.",
		"Envoy akzeptiert jeden der Hashes. Fügen Sie den neuen der Liste hinzu, und entfernen Sie die der widerrufenen " +
			"Zertifikate.",
	},
	{
		"In oneToOneMappings, add an entry with the certificate in base64 for the same user, and remove those of revoked " +
			"certificates. A rule in manyToOneMappings that compares the subject accepts them as well.",
		"Fügen Sie in oneToOneMappings einen Eintrag mit dem Zertifikat in Base64 für denselben Benutzer hinzu, und " +
			"entfernen Sie die der widerrufenen Zertifikate. Eine Regel in manyToOneMappings, die das Subject vergleicht, " +
			"akzeptiert auch diese.",
	},
	{
		"The issuing CA changes with this renewal. Compare the SHA-256 fingerprints of its certificates with those that a " +
			"contact whom you already knew gives you by phone. Then add the certificates to the CAs that your system trusts. " +
			"If the old CA is revoked, remove its certificate.",
		"Die ausstellende CA ändert sich mit dieser Erneuerung. Vergleichen Sie die SHA-256-Fingerabdrücke ihrer " +
			"Zertifikate mit denen, die Ihnen eine Kontaktperson, die Sie schon kannten, am Telefon nennt. Fügen Sie die " +
			"Zertifikate dann den CAs hinzu, denen Ihr System vertraut. Ist die alte CA widerrufen, entfernen Sie ihr " +
			"Zertifikat.",
	},
	{
		"Under Monitor > Manage Security > Certificate-to-User Mappings, add a mapping of the new certificate (.cer) to " +
			"the same user, and delete those of revoked certificates. The load balancer must trust the CA: SAP Note 2801396 " +
			"lists the CAs.",
		"Fügen Sie unter Monitor > Manage Security > Certificate-to-User Mappings eine Zuordnung des neuen Zertifikats " +
			"(.cer) zum selben Benutzer hinzu, und löschen Sie die der widerrufenen Zertifikate. Der Load Balancer muss der " +
			"CA vertrauen: SAP-Hinweis 2801396 nennt die CAs.",
	},
	{
		"Upload the certificate under a new alias to the trust store that the virtual host refers to, and delete the " +
			"aliases of revoked certificates.",
		"Laden Sie das Zertifikat unter einem neuen Alias in den Truststore hoch, auf den der virtuelle Host verweist, und " +
			"löschen Sie die Aliasse der widerrufenen Zertifikate.",
	},
	{
		"A certificate belongs to exactly one service key. In the instance of Process Integration Runtime (plan " +
			"integration-flow), create a second service key of the type External Certificate with the new " +
			"certificate. Keep the old service key until the old certificate has expired. The load balancer must " +
			"trust the CA: SAP Note 2801396 lists the CAs.",
		"Ein Zertifikat gehört zu genau einem Service-Key. Legen Sie in der Instanz der Process Integration " +
			"Runtime (Plan integration-flow) einen zweiten Service-Key vom Typ External Certificate mit dem neuen " +
			"Zertifikat an. Behalten Sie den alten Service-Key, bis das alte Zertifikat abgelaufen ist. Der Load " +
			"Balancer muss der CA vertrauen: SAP-Hinweis 2801396 nennt die CAs.",
	},
	{
		"Add the certificates of the new CA to a new version of the trust store, keep the old ones, and wait " +
			"until the custom domain uses the new version. If a Lambda authorizer compares serial numbers, add the " +
			"new one.",
		"Fügen Sie die Zertifikate der neuen CA einer neuen Version des Truststores hinzu, behalten Sie die alten, und " +
			"warten Sie, bis die benutzerdefinierte Domain die neue Version verwendet. Vergleicht ein Lambda-Authorizer " +
			"Seriennummern, fügen Sie die neue hinzu.",
	},
	{
		"Add the certificates of the new CA to the file in caFiles, and keep the old ones.",
		"Fügen Sie die Zertifikate der neuen CA der Datei in caFiles hinzu, und behalten Sie die alten.",
	},
	{
		"Add the new certificate (.cer) under Certificates. In the policy, compare with a list of thumbprints.",
		"Fügen Sie das neue Zertifikat (.cer) unter Certificates hinzu. Vergleichen Sie in der Richtlinie mit " +
			"einer Liste von Fingerabdrücken (Thumbprints).",
	},
	{
		"Add the new line next to the old one and reload. Remove the old line when the old certificate has " +
			"expired. The second variant compares the subject. With it, a renewal that keeps the subject and the CA " +
			"needs no change.",
		"Fügen Sie die neue Zeile zusätzlich zur alten hinzu, und laden Sie die Konfiguration neu. Entfernen Sie die alte " +
			"Zeile, wenn das alte Zertifikat abgelaufen ist. Die zweite Variante vergleicht das Subject. Mit ihr ist keine " +
			"Änderung nötig, wenn Subject und CA bei einer Erneuerung gleich bleiben.",
	},
	{
		"Add the new subject to the regular expression of the client's X.509 authenticator, and keep the old " +
			"one. If a certificate was uploaded, upload the new one under Credentials.",
		"Fügen Sie das neue Subject dem regulären Ausdruck des X.509-Authenticators des Clients hinzu, und " +
			"behalten Sie das alte. Wurde ein Zertifikat hochgeladen, laden Sie das neue unter Credentials hoch.",
	},
	{
		"Append the new fingerprint to the list, in the file and at run time, and keep the old one for now. The " +
			"second variant compares the subject. With it, a renewal that keeps the subject and the CA needs no " +
			"change.",
		"Fügen Sie den neuen Fingerabdruck der Liste hinzu, in der Datei und zur Laufzeit, und behalten Sie den alten " +
			"vorerst. Die zweite Variante vergleicht das Subject. Mit ihr ist keine Änderung nötig, wenn Subject und CA bei " +
			"einer Erneuerung gleich bleiben.",
	},
	{
		"Caddy can trust single certificates. Add the line of the new file (PEM) and reload.",
		"Caddy kann einzelnen Zertifikaten vertrauen. Fügen Sie die neue Datei (PEM) der Liste hinzu und laden " +
			"Sie die Konfiguration neu.",
	},
	{
		"Envoy accepts any of the hashes. Add the new one to the list.",
		"Envoy akzeptiert jeden der Hashwerte. Fügen Sie den neuen der Liste hinzu.",
	},
	{
		"In oneToOneMappings, add an entry with the certificate in base64 for the same user. A rule in " +
			"manyToOneMappings that compares the subject needs no change if the subject stays the same.",
		"Fügen Sie in oneToOneMappings für denselben Benutzer einen Eintrag mit dem Zertifikat in Base64 hinzu. Eine Regel " +
			"in manyToOneMappings, die das Subject vergleicht, muss nicht geändert werden, wenn das Subject gleich bleibt.",
	},
	{
		"Nothing to do for the custom domain: its trust store holds CAs, and the CA stays the same. If a Lambda " +
			"authorizer compares serial numbers, add the new one.",
		"Für die benutzerdefinierte Domain ist nichts zu tun: Ihr Truststore enthält CAs, und die CA bleibt gleich. " +
			"Vergleicht ein Lambda-Authorizer Seriennummern, fügen Sie die neue hinzu.",
	},
	{
		"Nothing to do if the client's X.509 authenticator matches the subject, which stays the same. If a " +
			"certificate was uploaded, upload the new one under Credentials.",
		"Nichts zu tun, wenn der X.509-Authenticator des Clients das Subject vergleicht, das gleich bleibt. " +
			"Wurde ein Zertifikat hochgeladen, laden Sie das neue unter Credentials hoch.",
	},
	{
		"Nothing to do: Traefik trusts the CA, which stays the same.",
		"Nichts zu tun: Traefik vertraut der CA, und die bleibt gleich.",
	},
	{
		"Nothing to do: mtls-auth maps by the CA and by a consumer's subject name, and both stay the same. Check " +
			"that the subject name of the consumer is this one.",
		"Nichts zu tun: mtls-auth ordnet nach der CA und dem Subject-Namen eines Consumers zu, und beide bleiben gleich. " +
			"Prüfen Sie, ob der Subject-Name des Consumers diesem entspricht.",
	},
	{
		"Nothing to do: the service key accepts a newer certificate with the same subject and issuer. From its " +
			"first message on, it refuses every older certificate for good.",
		"Nichts zu tun: Der Service-Key akzeptiert ein neueres Zertifikat mit demselben Subject und Aussteller. Ab dessen " +
			"erster Nachricht lehnt er jedes ältere Zertifikat endgültig ab.",
	},
	{
		"The issuing CA changes with this renewal. Compare the SHA-256 fingerprints of its certificates with those that " +
			"a contact whom you already knew gives you by phone. Then add the certificates to the CAs that your system " +
			"trusts, and keep the old ones.",
		"Die ausstellende CA ändert sich mit dieser Erneuerung. Vergleichen Sie die SHA-256-Fingerabdrücke ihrer " +
			"Zertifikate mit denen, die Ihnen ein bereits bekannter Kontakt am Telefon nennt. Fügen Sie die Zertifikate " +
			"dann den CAs hinzu, denen Ihr System vertraut, und behalten Sie die alten.",
	},
	{
		"The service key accepts only newer certificates with the same subject and issuer. In the instance of " +
			"Process Integration Runtime (plan integration-flow), create a second service key of the type External " +
			"Certificate with the new certificate. Keep the old one until the old certificate has expired. The load " +
			"balancer must trust the CA: SAP Note 2801396 lists the CAs.",
		"Der Service-Key akzeptiert nur neuere Zertifikate mit demselben Subject und Aussteller. Legen Sie in der Instanz " +
			"der Process Integration Runtime (Plan integration-flow) einen zweiten Service-Key vom Typ External Certificate " +
			"mit dem neuen Zertifikat an. Behalten Sie den alten, bis das alte Zertifikat abgelaufen ist. Der Load Balancer " +
			"muss der CA vertrauen: SAP-Hinweis 2801396 nennt die CAs.",
	},
	{
		"The subject alternative name changes with this renewal. If a rule compares it, add the new name to the rule and " +
			"keep the old one.",
		"Der alternative Name (SAN) ändert sich mit dieser Erneuerung. Ergänzen Sie eine Regel, die ihn vergleicht, um den " +
			"neuen Namen, und behalten Sie den alten.",
	},
	{
		"The subject changes with this renewal. If a rule compares it, add the new subject to the rule and keep the old one.",
		"Das Subject ändert sich mit dieser Erneuerung. Ergänzen Sie eine Regel, die es vergleicht, um das neue Subject, " +
			"und behalten Sie das alte.",
	},
	{
		"Under Monitor > Manage Security > Certificate-to-User Mappings, add a mapping of the new certificate " +
			"(.cer) to the same user. Several mappings may point to one user, so keep the old one until the old " +
			"certificate has expired. The load balancer must trust the CA: SAP Note 2801396 lists the CAs.",
		"Fügen Sie unter Monitor > Manage Security > Certificate-to-User Mappings eine Zuordnung des neuen " +
			"Zertifikats (.cer) zum selben Benutzer hinzu. Mehrere Zuordnungen dürfen auf einen Benutzer zeigen: " +
			"Behalten Sie die alte, bis das alte Zertifikat abgelaufen ist. Der Load Balancer muss der CA vertrauen: " +
			"SAP-Hinweis 2801396 nennt die CAs.",
	},
	{
		"Upload the certificate under a new alias to the trust store that the virtual host refers to. Keep the " +
			"old alias until the old certificate has expired.",
		"Laden Sie das Zertifikat unter einem neuen Alias in den Truststore hoch, auf den der virtuelle Host verweist. " +
			"Behalten Sie den alten Alias, bis das alte Zertifikat abgelaufen ist.",
	},
	{
		"Upload the certificates of the new CA if the CA changes, and add the subject name to the consumer.",
		"Laden Sie die Zertifikate der neuen CA hoch, wenn sich die CA ändert, und fügen Sie dem Consumer den " +
			"Subject-Namen hinzu.",
	},
}
